from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node import publishing
from dicom_node.reasons import Reason
from storage.errors import DiskFull
from storage.outbox import deliveries
from storage.states import DeliveryState, SeriesState
from tests.support.head_series import HeadSeries, change
from tests.support.pipeline import (
    Pipeline,
    accepted,
    no_lesion,
    one_lesion,
    open_pipeline,
    refused,
    small_series,
)


@pytest.fixture
def analysed(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """A series that waits for its results to be encoded."""
    series = accepted(pipeline, tmp_path)
    pipeline.conclude(series, one_lesion(series))
    return series


def result_files(pipeline: Pipeline) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in pipeline.folders.results.rglob("*") if file.is_file()}


def test_findings_become_a_seg_and_an_sr_in_the_outbox(pipeline: Pipeline, analysed: HeadSeries) -> None:
    assert pipeline.publish()
    row = pipeline.row(analysed)
    assert row.state == SeriesState.DELIVERING
    (delivery,) = deliveries(pipeline.db, row.id)
    assert (delivery.destination, delivery.state) == ("pacs", DeliveryState.PENDING)
    assert [one.role for one in delivery.objects] == ["seg", "sr"]
    for one in delivery.objects:
        written = dcmread(pipeline.folders.results / one.path)
        assert (written.SOPInstanceUID, written.SOPClassUID) == (one.sop_instance_uid, one.sop_class_uid)
        assert (written.StudyInstanceUID, written.SeriesInstanceUID) == (
            analysed.study_uid,
            one.series_instance_uid,
        )
        assert one.size == (pipeline.folders.results / one.path).stat().st_size
    assert not pipeline.publish(), "nothing is left to encode"


def test_a_negative_series_gets_a_report_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    series = accepted(pipeline, tmp_path)
    pipeline.conclude(series, no_lesion(series))
    pipeline.publish()
    assert set(result_files(pipeline)) == {"sr.dcm"}


def test_encoding_again_after_a_crash_gives_the_same_bytes(
    pipeline: Pipeline, analysed: HeadSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between writing the files and committing them; the clock goes on."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "publish", die)
    with pytest.raises(KeyboardInterrupt):
        pipeline.publish()
    first = result_files(pipeline)
    assert set(first) == {"seg.dcm", "sr.dcm"}
    monkeypatch.undo()
    pipeline.clock.advance(3 * 3600)
    assert pipeline.publish(), "the lease has run out"
    assert result_files(pipeline) == first


def test_other_weights_and_other_instances_give_other_identifiers(tmp_path: Path) -> None:
    def uids(folder: Path, count: int, weights: str) -> set[str]:
        with open_pipeline(folder / "node") as pipeline:
            series = small_series(folder)
            kept = HeadSeries(series.hu[:count], series.affine, series.files[:count])
            pipeline.receive(kept.files)
            pipeline.quiet()
            pipeline.assemble()
            findings = one_lesion(kept)
            object.__setattr__(findings, "weights_sha256", weights)
            pipeline.conclude(kept, findings)
            pipeline.publish()
            return {str(dcmread(file).SOPInstanceUID) for file in pipeline.folders.results.rglob("*.dcm")}

    sets = []
    for name, count, weights in (
        ("a", 8, "ab" * 32),
        ("b", 8, "ab" * 32),
        ("c", 7, "ab" * 32),
        ("d", 8, "cd" * 32),
    ):
        (tmp_path / name).mkdir()
        sets.append(uids(tmp_path / name, count, weights))
    assert [len(uids) for uids in sets] == [2, 2, 2, 2]
    assert sets[0] == sets[1]
    assert not sets[0] & sets[2]
    assert not sets[0] & sets[3]


@pytest.mark.parametrize(
    ("setting", "defect", "reported"),
    [("none", True, False), ("defects", False, False), ("defects", True, True), ("all", False, True)],
)
def test_which_refusals_are_reported(tmp_path: Path, setting: str, defect: bool, reported: bool) -> None:
    with open_pipeline(tmp_path / "node", results={"report_refusals": setting}) as pipeline:
        series = refused(pipeline, tmp_path, defect=defect)
        assert pipeline.row(series).reason_code == (Reason.MISSING_SLICE if defect else Reason.TOO_FEW_SLICES)
        assert pipeline.publish()
        row = pipeline.row(series)
        assert row.state == (SeriesState.DELIVERING if reported else SeriesState.NOT_ANALYSED)
        assert set(result_files(pipeline)) == ({"sr.dcm"} if reported else set())


def test_an_unreadable_header_does_not_keep_the_report_from_being_sent(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    damaged = next(pipeline.folders.spool.rglob("*.dcm"))
    damaged.write_bytes(b"no DICOM file any more")
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).reason_code == Reason.HEADER_UNREADABLE
    assert pipeline.publish()
    assert pipeline.row(series).state == SeriesState.DELIVERING
    assert set(result_files(pipeline)) == {"sr.dcm"}


def test_where_no_header_can_be_read_there_is_nothing_to_send(pipeline: Pipeline, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    for file in pipeline.folders.spool.rglob("*.dcm"):
        file.write_bytes(b"no DICOM file any more")
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.publish()
    assert pipeline.row(series).state == SeriesState.NOT_ANALYSED


def test_without_a_destination_the_results_stay_and_the_series_is_done(tmp_path: Path) -> None:
    with open_pipeline(tmp_path / "node", destination=[]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        pipeline.publish()
        assert pipeline.row(series).state == SeriesState.DONE
        assert set(result_files(pipeline)) == {"seg.dcm", "sr.dcm"}


def test_a_full_disk_postpones_for_as_long_as_it_is_full(
    pipeline: Pipeline, analysed: HeadSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nothing of the series: no attempt counts, and the series goes on by itself when there is space."""

    def refuse(path: Path, data: bytes) -> None:
        raise DiskFull(str(path))

    with monkeypatch.context() as full:
        full.setattr(publishing, "write_durable", refuse)
        for _ in range(publishing.MAXIMUM_ATTEMPTS + 1):
            assert pipeline.publish()
            row = pipeline.row(analysed)
            assert (row.state, row.attempts) == (SeriesState.ANALYSED, 0)
            assert "no space is left" in (row.last_error or "")
            assert not pipeline.publish(), "not before its time"
            assert row.not_before is not None
            pipeline.clock.now = row.not_before
    assert pipeline.publish()
    assert pipeline.row(analysed).state == SeriesState.DELIVERING


def test_findings_that_are_gone_are_an_error_that_is_told(pipeline: Pipeline, analysed: HeadSeries) -> None:
    (pipeline.folders.findings / "found.npz").unlink()
    assert pipeline.publish()
    (postponed,) = pipeline.audit("series-postponed")
    assert "found.npz" in postponed.detail["error"]


def test_a_slice_that_comes_while_results_are_encoded_withdraws_them(
    pipeline: Pipeline, analysed: HeadSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = publishing.encode_results
    late = tmp_path / "late.dcm"
    late.write_bytes(analysed.files[0].read_bytes())
    change(late, _one_slice_lower)

    def encode_while_a_slice_comes(*arguments: object, leave_out: bool) -> object:
        pipeline.receive([late])
        return encode(*arguments, leave_out=leave_out)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "encode_results", encode_while_a_slice_comes)
    assert pipeline.publish()
    row = pipeline.row(analysed)
    assert (row.state, row.revision) == (SeriesState.RECEIVING, 2)
    assert deliveries(pipeline.db, row.id) == []


def _one_slice_lower(image: object) -> None:
    x, y, z = (float(value) for value in image.ImagePositionPatient)  # type: ignore[attr-defined]
    image.ImagePositionPatient = [x, y, z - 1.25]  # type: ignore[attr-defined]
    image.SOPInstanceUID = "2.25.4711"  # type: ignore[attr-defined]
    image.file_meta.MediaStorageSOPInstanceUID = "2.25.4711"  # type: ignore[attr-defined]


def test_each_destination_gets_what_its_profile_says(tmp_path: Path) -> None:
    """The same results, encoded once; each delivery holds its share of them."""
    common = {"ae_title": "PACS", "host": "127.0.0.1", "port": 4242}
    profiles = ("standard", "viewer-without-seg", "archive")
    tables = [{**common, "name": profile, "profile": profile} for profile in profiles]
    with open_pipeline(tmp_path / "node", destination=tables) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        pipeline.publish()
        pages = ["key-image-1", "key-image-2"]
        others = ["pdf", "presentation-state"]
        assert set(result_files(pipeline)) == {f"{role}.dcm" for role in ("seg", "sr", *pages, *others)}
        rows = deliveries(pipeline.db, pipeline.row(series).id)
        found = {row.destination: [one.role for one in row.objects] for row in rows}
        assert found == {
            "standard": ["seg", "sr"],
            "viewer-without-seg": ["sr", *pages],
            "archive": ["seg", "sr", *pages, *others],
        }, "no map was kept that could be sent"


def test_a_destination_of_segs_alone_gets_no_delivery_where_there_is_none(tmp_path: Path) -> None:
    table = {"name": "overlay", "ae_title": "PACS", "host": "127.0.0.1", "port": 4242, "report": "off"}
    with open_pipeline(tmp_path / "node", destination=[table]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, no_lesion(series))
        pipeline.publish()
        assert pipeline.row(series).state == SeriesState.DONE
        assert deliveries(pipeline.db, pipeline.row(series).id) == []
        (event,) = pipeline.audit("results-published")
        assert event.detail["destinations"] == {"overlay": []}


def test_a_refusal_is_a_page_of_words_for_a_viewer_without_seg(tmp_path: Path) -> None:
    table = {"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 4242, "profile": "viewer-without-seg"}
    with open_pipeline(tmp_path / "node", destination=[table]) as pipeline:
        series = refused(pipeline, tmp_path, defect=True)
        pipeline.publish()
        (row,) = deliveries(pipeline.db, pipeline.row(series).id)
        assert [one.role for one in row.objects] == ["sr", "key-image-1"]
