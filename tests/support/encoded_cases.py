"""Cases whose results are put before other people's programs: every orientation, kind of source and name."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_node.encoding.encode_results import encode_results
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings
from tests.support.ct_source import OBLIQUE, PRONE, CtSource
from tests.support.made_findings import (
    WITH_KEY_IMAGES,
    Block,
    make_context,
    make_findings,
    many_blocks,
    read_source,
)

TILTED = (1.0, 0.0, 0.0, 0.0, 0.9902680687415704, -0.1391731009600654)  # 8 degrees about the x axis
SMALL = CtSource(slices=12, rows=24, columns=30)
BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]
EDGES = [((0, 2), (0, 3), (0, 3)), ((10, 12), (21, 24), (27, 30))]


def blocks(*wanted: Block) -> Callable[[SourceSeries], list[Block]]:
    return lambda source: list(wanted)


@dataclass(frozen=True)
class Case:
    source: CtSource
    blocks: Callable[[SourceSeries], list[Block]] = blocks(*BLOCKS)


CHINESE = "\u738b^\u5c0f\u6771"
OPTIONAL = (
    "PatientAge",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StudyID",
    "AccessionNumber",
)
CASES = {
    "axial": Case(SMALL),
    "oblique": Case(CtSource(slices=12, rows=24, columns=30, orientation=OBLIQUE)),
    "tilted head": Case(CtSource(slices=12, rows=24, columns=30, orientation=TILTED)),
    "not square": Case(CtSource(slices=12, rows=26, columns=31, spacing=(1.25, 0.4, 0.7))),
    "prone": Case(CtSource(slices=12, rows=24, columns=30, orientation=PRONE)),
    "enhanced": Case(CtSource(slices=12, rows=24, columns=30, kind="enhanced")),
    "legacy": Case(CtSource(slices=12, rows=24, columns=30, kind="legacy")),
    "non-ASCII name": Case(
        SMALL.with_attributes(SpecificCharacterSet="ISO_IR 192", PatientName=f"Wang^XiaoDong={CHINESE}")
    ),
    "no optional attributes": Case(SMALL.with_attributes(**dict.fromkeys(OPTIONAL))),
    "at the edges": Case(SMALL, blocks(*EDGES)),
    "one lesion": Case(SMALL, blocks(BLOCKS[0])),
    "forty lesions": Case(CtSource(slices=20, rows=40, columns=48), lambda source: many_blocks(source, 40)),
}
FORMS = (
    "seg-all-frames",
    "seg-each",
    "seg-labelmap",
    "sr-comprehensive",
    "sr-enhanced",
    "sr-labelmap-all-frames-enhanced",
    "presentation-state",
    "pdf",
)


def short_form(cases: Iterable[str], names: Container[str]) -> list[Any]:
    """The cases by name, of which those that are not among `names` run in the long form only."""
    return [pytest.param(case, marks=() if case in names else pytest.mark.stress) for case in cases]


@dataclass(frozen=True)
class Encoded:
    source: SourceSeries
    findings: Findings
    segmentation: Path
    report: Path
    key_images: list[Path]


def encode_case(case: Case, folder: Path) -> Encoded:
    source = read_source(folder / "source", case.source)
    findings = make_findings(source, case.blocks(source))
    files = {}
    for result in encode_results(source, findings, make_context(), WITH_KEY_IMAGES).objects:
        files[result.role] = folder / f"{result.role}.dcm"
        files[result.role].write_bytes(result.data)
    pages = [file for role, file in files.items() if role.startswith("key-image")]
    return Encoded(source, findings, files["seg"], files["sr"], pages)
