import hmac
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node import assembly
from dicom_node.reasons import Reason
from storage.states import SeriesState
from tests.support.head_series import HeadSeries, change
from tests.support.pipeline import Pipeline, small_series


def keyed_hash(pipeline: Pipeline, series: HeadSeries) -> str:
    """Of the Patient ID, by RFC 2104 with the key that the node made."""
    patient_id = str(dcmread(series.files[0]).PatientID)
    key = (pipeline.folders.root / "patient-hash.key").read_bytes()
    assert len(key) == 32
    return hmac.new(key, patient_id.encode(), "sha256").hexdigest()


def test_a_series_is_left_alone_until_it_is_quiet(pipeline: Pipeline, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    pipeline.clock.advance(pipeline.settings.assembly.quiet_s - 0.001)
    assert not pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.RECEIVING
    pipeline.clock.advance(0.001)
    assert pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED


def test_an_accepted_series_waits_for_the_worker_with_what_was_seen(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    row = pipeline.row(series)
    assert (row.urgent, row.lease_owner, row.reason_code) == (False, None, None)
    (accepted,) = pipeline.audit("series-accepted")
    seen = {"revision": 1, "urgent": False, "slices": 8, "rows": 14, "columns": 12}
    assert accepted.detail == {**seen, "patient_hash": keyed_hash(pipeline, series)}
    assert not pipeline.assemble(), "nothing is left to decide"


def test_an_urgent_series_is_marked(pipeline: Pipeline, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    for file in series.files:
        change(file, lambda image: setattr(image, "StudyDescription", "CTA head STAT"))
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).urgent


def test_a_series_that_breaks_a_rule_is_refused_with_its_code(pipeline: Pipeline, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:3])
    pipeline.quiet()
    assert pipeline.assemble()
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.TOO_FEW_SLICES)
    (refused,) = pipeline.audit("series-refused")
    assert refused.detail["patient_hash"] == keyed_hash(pipeline, series)
    assert row.reason_detail == "3 slices, at least 4"
    assert row.concluded_at == pipeline.clock()


def test_a_series_in_conflict_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    change(series.files[2], lambda image: setattr(image, "SeriesDescription", "another"))
    pipeline.receive(series.files[2:3])
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).reason_code == Reason.CONFLICTING_INSTANCES


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_headers_that_name_another_series_than_was_received_are_refused(
    pipeline: Pipeline, tmp_path: Path, keyword: str
) -> None:
    """All alike, so that the series agrees with itself: results would go under the wrong study."""
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    for file in pipeline.folders.spool.rglob("*.dcm"):
        change(file, lambda image: setattr(image, keyword, "1.2.3.4"))
    pipeline.quiet()
    assert pipeline.assemble()
    assert pipeline.row(series).reason_code == Reason.MIXED_SERIES


def test_more_instances_than_the_limit_are_refused_without_reading_them(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    pipeline.quiet()
    selection = pipeline.settings.selection.model_copy(update={"minimum_slices": 1, "maximum_slices": 7})
    monkeypatch.setattr(pipeline, "settings", pipeline.settings.model_copy(update={"selection": selection}))
    for file in pipeline.folders.spool.rglob("*.dcm"):
        file.unlink()
    assert pipeline.assemble()
    assert pipeline.row(series).reason_code == Reason.TOO_LARGE


def test_a_file_that_cannot_be_read_postpones_the_decision_ever_longer_and_then_fails(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    next(pipeline.folders.spool.rglob("*.dcm")).unlink()
    pipeline.quiet()
    delays = []
    while pipeline.assemble():
        row = pipeline.row(series)
        if row.not_before is None:
            break
        delays.append((row.not_before - pipeline.clock()).total_seconds())
        pipeline.clock.now = row.not_before
    assert delays == [30.0, 60.0, 120.0, 240.0]
    assert pipeline.row(series).state == SeriesState.FAILED
    assert "No such file" in (pipeline.row(series).last_error or "")


def test_a_slice_that_comes_while_the_series_is_inspected_voids_the_decision(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:-1])
    pipeline.quiet()
    inspect = assembly.inspect_series

    def inspect_while_a_slice_comes(*arguments: object, **options: object) -> object:
        pipeline.receive(series.files[-1:])
        return inspect(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly, "inspect_series", inspect_while_a_slice_comes)
    assert pipeline.assemble()
    row = pipeline.row(series)
    assert (row.state, row.revision, row.instance_count) == (SeriesState.RECEIVING, 2, 8)
    assert pipeline.audit("series-accepted") == []


@pytest.mark.parametrize("late", ["refused", "postponed"])
def test_a_claim_lost_before_a_refusal_or_a_postponement_changes_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:3])
    pipeline.quiet()
    read = assembly.read_headers

    def read_while_a_slice_comes(*arguments: object) -> object:
        pipeline.receive(series.files[3:])
        if late == "postponed":
            raise OSError("the disk hesitates")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly, "read_headers", read_while_a_slice_comes)
    assert pipeline.assemble()
    assert (pipeline.row(series).state, pipeline.row(series).revision) == (SeriesState.RECEIVING, 2)
    assert pipeline.audit("series-refused") == pipeline.audit("series-postponed") == []
