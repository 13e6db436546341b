"""A whole run against Orthanc, which is both the scanner that sends and the PACS that receives."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from storage.states import SeriesState
from tests.integration.conftest import Find, Model
from tests.support.head_series import HeadSeries, make_head_series
from tests.support.node import AE_TITLE, NodeUnderTest
from tests.support.orthanc import Orthanc, orthanc
from tests.support.results import check_mask


@dataclass(frozen=True)
class Run:
    """A series that went from Orthanc through the node and back."""

    archive: Orthanc
    series: HeadSeries
    kept: dict[str, Dataset]  # by modality, as the node has them on its disk
    series_uids: dict[str, str]  # by modality, as the archive lists them


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("orthanc")
    series = make_head_series(folder, "orthanc", volume_seed=2)
    with (
        orthanc(folder / "archive") as archive,
        NodeUnderTest(folder / "node", [archive.destination], model) as node,
    ):
        archive.name_modality("node", AE_TITLE, node.port)
        archive.send("node", archive.upload(series.files))
        row = node.wait_until_ended(series.uid)
        assert row.state == SeriesState.DONE, node.log_tail()
        node.check_intact()
        kept: dict[str, Dataset] = {one.Modality: one for one in map(dcmread, _results(node))}
        listed = archive.query_series(series.study_uid)
        yield Run(
            archive,
            series,
            kept,
            {one["00080060"]["Value"][0]: one["0020000E"]["Value"][0] for one in listed},
        )


def test_the_study_lists_source_seg_and_sr(run: Run) -> None:
    assert set(run.series_uids) == {"CT", "SEG", "SR"}
    assert run.series_uids["CT"] == run.series.uid
    for modality in ("SEG", "SR"):
        assert run.series_uids[modality] == run.kept[modality].SeriesInstanceUID


@pytest.mark.parametrize("modality", ["SEG", "SR"])
def test_dicomweb_gives_back_what_the_node_wrote(run: Run, modality: str) -> None:
    (fetched,) = run.archive.retrieve_series(run.series.study_uid, run.series_uids[modality])
    assert fetched == run.kept[modality]
    assert fetched.get("PixelData") == run.kept[modality].get("PixelData")


def test_the_mask_in_the_archive_is_what_the_network_computes(run: Run, find: Find) -> None:
    (segmentation,) = run.archive.retrieve_series(run.series.study_uid, run.series_uids["SEG"])
    check_mask(segmentation, find(run.series))


def _results(node: NodeUnderTest) -> list[Path]:
    return sorted((node.storage / "results").rglob("*.dcm"))
