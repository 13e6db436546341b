"""A whole run against DCMTK: storescu is the scanner, storescp the PACS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node import codes
from storage.series import SeriesRow
from storage.states import SeriesState
from tests.integration.conftest import NO_LESION_THRESHOLD, Find, Model
from tests.support import dcmtk
from tests.support.dcmtk import StoreScp, storescu
from tests.support.head_series import HeadSeries, make_head_series
from tests.support.node import AE_TITLE, NodeUnderTest
from tests.support.results import check_mask, codes_of, one_of_each
from tests.support.waiting import wait_until

STORED_WITHIN_S = 20.0
QUIET_S = 4.0  # the series does not tell how many instances it has


@dataclass(frozen=True)
class Run:
    """A series that went through the node, and what the PACS has of it."""

    node: NodeUnderTest
    series: HeadSeries
    row: SeriesRow
    objects: list[Dataset]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreScp]:
    with dcmtk.storescp(tmp_path_factory.mktemp("pacs") / "received") as scp:
        yield scp


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pacs: StoreScp, model: Model) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("dcmtk")
    series = make_head_series(folder, "dcmtk", announced=0)
    tables = {**model, "assembly": {"quiet_s": QUIET_S}}
    with NodeUnderTest(folder / "node", [pacs.destination], tables) as node:
        storescu(folder / "dcmtk", node.port, AE_TITLE)
        row = node.wait_until_ended(series.uid)
        yield Run(node, series, row, pacs.objects())


def test_the_series_is_done(run: Run) -> None:
    assert run.row.state == SeriesState.DONE, run.node.log_tail()
    assert run.row.instance_count == len(run.series.files)
    assert run.row.sender_ae_title == "DCMTKSCANNER"


def test_the_pacs_gets_one_seg_and_one_sr_in_the_patients_study(run: Run) -> None:
    segmentation, report = one_of_each(run.objects)
    source = dcmread(run.series.files[0])
    for result in (segmentation, report):
        assert result.StudyInstanceUID == source.StudyInstanceUID
        assert result.PatientID == source.PatientID
        assert result.AccessionNumber == source.AccessionNumber
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID


def test_the_pacs_has_the_bytes_that_the_node_kept(run: Run) -> None:
    kept = {
        str(one.SOPInstanceUID): one for one in map(dcmread, (run.node.storage / "results").rglob("*.dcm"))
    }
    assert kept == {str(one.SOPInstanceUID): one for one in run.objects}


def test_the_mask_is_what_the_network_computes(run: Run, find: Find) -> None:
    segmentation, _ = one_of_each(run.objects)
    expected = find(run.series)
    check_mask(segmentation, expected)
    assert run.row.lesion_count == len(expected.lesions) == len(segmentation.SegmentSequence)


def test_the_audit_log_tells_the_whole_way_and_is_intact(run: Run, find: Find, pacs: StoreScp) -> None:
    run.node.check_intact()
    rows = run.node.audit(series_instance_uid=run.series.uid)
    events = ["series-opened", "series-complete", "series-accepted", "series-analysed", "results-published"]
    assert [row.event for row in rows] == [*events, "delivered", "series-done"]
    by_event = {row.event: row.detail for row in rows}
    assert by_event["series-complete"]["instances"] == len(run.series.files)
    assert by_event["series-analysed"]["lesions"] == len(find(run.series).lesions)
    (association,) = run.node.audit("association-accepted")
    assert association.detail["stored"] == len(run.series.files)


def test_no_patient_data_reaches_the_audit_log(run: Run) -> None:
    source = dcmread(run.series.files[0])
    written = " ".join(str(row.detail) + row.actor for row in run.node.audit())
    assert str(source.PatientName) not in written
    assert str(source.PatientID) not in written


def test_a_negative_series_gets_a_report_that_says_absent(
    run: Run, pacs: StoreScp, tmp_path: Path, model: Model
) -> None:
    """The node is stopped cleanly, set to higher thresholds and started again on the same storage."""
    thresholds = {"threshold": NO_LESION_THRESHOLD, "detection_threshold": NO_LESION_THRESHOLD}
    strict = {"model": {**model["model"], **thresholds}}
    run.node.stop()
    run.node.configure([pacs.destination], strict)
    run.node.start()
    series = make_head_series(tmp_path, "negative", volume_seed=2)
    storescu(tmp_path / "negative", run.node.port, AE_TITLE)
    row = run.node.wait_until_ended(series.uid)
    assert (row.state, row.lesion_count) == (SeriesState.DONE, 0), run.node.log_tail()
    (report,) = wait_until(
        lambda: [one for one in pacs.objects() if one.StudyInstanceUID == series.study_uid],
        STORED_WITHIN_S,
        "the negative report arrives",
    )
    assert report.Modality == "SR"
    assert (codes.ANEURYSM.value, codes.ABSENT.value) in codes_of(report)
    assert len(pacs.objects()) == 3, "the first series was not sent again"
