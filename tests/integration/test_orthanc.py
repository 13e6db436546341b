"""A whole run against Orthanc, which is both the scanner that sends and the PACS that receives."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.encoding.encode_results import Maps, encode_refusal_results, encode_results
from dicom_node.reasons import Reason
from glianet.scores import RiskGrid
from storage.states import SeriesState
from tests.integration.conftest import Find, Model
from tests.support.ct_source import CtSource
from tests.support.dicom_network import data_set_in, data_set_of
from tests.support.head_series import HeadSeries, make_head_series
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.node import AE_TITLE, NodeUnderTest
from tests.support.orthanc import Orthanc, orthanc
from tests.support.results import check_mask

KINDS = {
    ("SEG", "seg"),
    ("SR", "sr"),
    ("OT", "key-image"),
    ("PR", "presentation-state"),
    ("SEG", "probability"),
    ("OT", "risk-map"),
    ("DOC", "pdf"),
}
"""Modality and kind of what the profile "archive" sends."""
OTHER_FORMS = (
    "seg-all-frames",
    "seg-each",
    "seg-labelmap",
    "seg-labelmap-each",
    "sr-comprehensive",
    "sr-enhanced",
    "sr-labelmap-enhanced",
    "risk-map-segmentation",
)


@dataclass(frozen=True)
class Run:
    """A series that went from Orthanc through the node and back."""

    archive: Orthanc
    series: HeadSeries
    kept: dict[str, list[Path]]  # by Series Instance UID, as the node has them on its disk
    listed: dict[str, str]  # modality by Series Instance UID, as the archive lists them

    def series_of(self, kind: str) -> str:
        """The Series Instance UID of the results of a kind."""
        (uid,) = {uid for uid, files in self.kept.items() for file in files if _kind(file) == kind}
        return uid


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("orthanc")
    series = make_head_series(folder, "orthanc", volume_seed=2)
    with (
        orthanc(folder / "archive") as archive,
        NodeUnderTest(folder / "node", [{**archive.destination, "profile": "archive"}], model) as node,
    ):
        archive.name_modality("node", AE_TITLE, node.port)
        archive.send("node", archive.upload(series.files))
        row = node.wait_until_ended(series.uid)
        assert row.state == SeriesState.DONE, node.log_tail()
        node.check_intact()
        kept: dict[str, list[Path]] = {}
        for file in sorted((node.storage / "results").rglob("*.dcm")):
            kept.setdefault(str(dcmread(file).SeriesInstanceUID), []).append(file)
        listed = archive.query_series(series.study_uid)
        modalities = {one["0020000E"]["Value"][0]: one["00080060"]["Value"][0] for one in listed}
        yield Run(archive, series, kept, modalities)


def _kind(file: Path) -> str:
    return "key-image" if file.stem.startswith("key-image") else file.stem


def test_the_study_lists_source_and_every_kind_of_results(run: Run) -> None:
    assert run.listed[run.series.uid] == "CT"
    kinds = {(run.listed[uid], _kind(file)) for uid, files in run.kept.items() for file in files}
    assert kinds == KINDS
    assert set(run.listed) == {run.series.uid, *run.kept}


def test_dicomweb_gives_back_what_the_node_wrote_byte_for_byte(run: Run) -> None:
    """File meta information is the archive's own; the data set is what was sent."""
    for uid, files in run.kept.items():
        fetched = {data_set_in(data) for data in run.archive.retrieve_files(run.series.study_uid, uid)}
        assert fetched == {data_set_of(file) for file in files}


def test_dicomweb_gives_back_every_other_form_byte_for_byte(run: Run, tmp_path: Path) -> None:
    """Of a study of its own: label maps, SEGs apart, other reports, the risk map as a SEG, and a refusal."""
    source = read_source(tmp_path / "source", CtSource(slices=12, rows=24, columns=30))
    findings = make_findings(source, [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))])
    risk = RiskGrid(np.full((2, 2, 2), 0.25, np.float32), ((-84, -80), (-72, -70), (-66, -60)))
    results = encode_results(source, findings, make_context(), OTHER_FORMS, Maps(risk=risk))
    assert results.left_out == {}
    context = make_context(fingerprint="refused")
    refusal = encode_refusal_results(source.datasets, Reason.MISSING_SLICE, "gap 1.2 mm", context)
    wrote: dict[str, set[bytes]] = {}
    for number, one in enumerate((*results.objects, *refusal.objects)):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(one.data)
        run.archive.upload([file])
        wrote.setdefault(one.series_instance_uid, set()).add(data_set_of(file))
    study = str(source.datasets[0].StudyInstanceUID)
    for uid, data_sets in wrote.items():
        assert {data_set_in(data) for data in run.archive.retrieve_files(study, uid)} == data_sets


def test_the_mask_in_the_archive_is_what_the_network_computes(run: Run, find: Find) -> None:
    (segmentation,) = run.archive.retrieve_series(run.series.study_uid, run.series_of("seg"))
    check_mask(segmentation, find(run.series))
