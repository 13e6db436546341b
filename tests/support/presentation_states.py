"""Presentation states of small series in every orientation, and changes to them."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.presentation_state import encode_presentation_state
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import PRESENTATION_STATE
from glianet.findings import Findings
from tests.support.ct_source import OBLIQUE, PRONE, TURNED, CtSource
from tests.support.made_findings import Block, make_context, make_findings, read_source

BLOCKS: list[Block] = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]
SMALL = CtSource(slices=12, rows=24, columns=30)
CASES = {
    "axial": SMALL,
    "prone": replace(SMALL, orientation=PRONE),
    "on the side": CtSource(slices=12, rows=30, columns=24, orientation=TURNED),
    "oblique": replace(SMALL, orientation=OBLIQUE),
    "not square": CtSource(slices=12, rows=26, columns=31, spacing=(1.25, 0.4, 0.7)),
    "enhanced": replace(SMALL, kind="enhanced"),
    "legacy": replace(SMALL, kind="legacy"),
    "Chinese name": SMALL.with_attributes(
        SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=\u738b^\u5c0f\u6771"
    ),
}
Made = tuple[SourceSeries, Findings, EncodedObject]
Change = Callable[[Dataset], None]


def make(folder: Path, wanted: CtSource, blocks: list[Block] = BLOCKS) -> Made:
    source = read_source(folder, wanted)
    findings = make_findings(source, blocks)
    return source, findings, encode(source, findings)


def encode(source: SourceSeries, findings: Findings) -> EncodedObject:
    return to_part10(PRESENTATION_STATE, encode_presentation_state(source, findings, make_context()))


def read(encoded: EncodedObject) -> Dataset:
    return dcmread(BytesIO(encoded.data))


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    state = read(encoded)
    change(state)
    return replace(encoded, data=to_part10(encoded.role, state).data)
