"""The analysis of a series: findings, lease and progress, and what is tried again, refused or set aside."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dicom_node.reasons import Reason
from glianet.errors import DeviceError, DeviceLost, OutOfMemory, WeightsError
from glianet.findings import load_findings
from glianet.load_model import LoadedModel
from storage.recovery import release_leases
from storage.states import SeriesState
from tests.support.analyses import LESION, PATCHES, accept, analyse, stand_in_for_the_network
from tests.support.head_series import HeadSeries
from tests.support.pipeline import WEIGHTS, Pipeline, open_pipeline, small_series


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    model: dict[str, object] = {"retry_delay_s": 10.0, "maximum_attempts": 3, "lease_s": 100.0}
    with open_pipeline(tmp_path / "node", model=model) as opened:
        yield opened


@pytest.fixture
def series(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """A series that waits for the worker."""
    made = small_series(tmp_path)
    accept(pipeline, made)
    return made


@pytest.fixture
def after_patch(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    return stand_in_for_the_network(monkeypatch)


def test_nothing_to_do(pipeline: Pipeline) -> None:
    assert not analyse(pipeline)


def test_findings_lie_on_the_disk_when_the_row_says_so(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    after_patch[PATCHES] = lambda: pipeline.clock.advance(7.0)
    assert analyse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.lesion_count, row.weights_sha256) == (SeriesState.ANALYSED, 1, WEIGHTS)
    assert row.concluded_at == pipeline.clock()
    findings = load_findings(pipeline.folders.findings / str(row.findings_path))
    expected = np.zeros(series.hu.shape, np.uint16)
    expected[LESION] = 1
    np.testing.assert_array_equal(findings.labels, expected)
    (entry,) = pipeline.audit("series-analysed")
    assert entry.detail["volumes_mm3"] == [round(27 * 1.25 * 1.5 * 1.5, 1)]
    assert (entry.detail["patches"], entry.detail["seconds"], entry.detail["step"]) == (PATCHES, 7.0, 48)
    assert entry.detail["computation"] == findings.computation == "torch float32 on cpu"
    assert not list(pipeline.folders.findings.rglob("*risk*"))
    assert not pipeline.folders.progress.exists()


def test_a_lost_device_ends_the_worker_and_leaves_the_series_to_the_next(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    """As a crash of the process does: counted, so that a series that causes it does not come back for ever."""

    def fail() -> None:
        raise DeviceLost(what="the device has failed", where="device cuda:0", retry_helps=True)

    after_patch[2] = fail
    with pytest.raises(DeviceLost):
        analyse(pipeline)
    assert pipeline.row(series).state == SeriesState.QUEUED and pipeline.row(series).lease_owner is not None
    release_leases(pipeline.db, "worker:", pipeline.clock(), crashed=True)
    row = pipeline.row(series)
    assert (row.state, row.lease_owner, row.attempts, row.crashes) == (SeriesState.QUEUED, None, 0, 1)


def test_progress_is_there_to_be_read_while_it_works(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    seen = []
    after_patch[4] = lambda: seen.append(json.loads(pipeline.folders.progress.read_text()))
    analyse(pipeline)
    assert seen == [{"series": series.uid, "patches": 3, "of": PATCHES}]


def test_the_lease_is_renewed_as_patches_are_computed(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    """Five patches of 40 s each outlast a lease of 100 s; nobody else may take the series meanwhile."""
    leases = []

    def wait() -> None:
        row = pipeline.row(series)
        assert row.lease_expires_at is not None
        leases.append((row.lease_expires_at - pipeline.clock()).total_seconds())
        pipeline.clock.advance(40.0)

    after_patch.update(dict.fromkeys(range(1, PATCHES + 1), wait))
    analyse(pipeline)
    assert min(leases) > 40.0
    assert pipeline.row(series).state == SeriesState.ANALYSED


def test_a_stop_gives_the_series_back_and_counts_no_attempt(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    stopping = []
    after_patch[2] = lambda: stopping.append(True)
    assert analyse(pipeline, lambda: bool(stopping))
    row = pipeline.row(series)
    assert (row.state, row.attempts, row.lease_owner) == (SeriesState.QUEUED, 0, None)
    assert not pipeline.folders.progress.exists()
    assert analyse(pipeline)
    assert pipeline.row(series).state == SeriesState.ANALYSED


@pytest.mark.parametrize("then", ["finishes", "fails", "is told to stop"])
def test_a_late_slice_voids_the_claim_however_the_analysis_ends(
    pipeline: Pipeline,
    tmp_path: Path,
    after_patch: dict[int, Callable[[], object]],
    then: str,
) -> None:
    whole = small_series(tmp_path)
    accept(pipeline, HeadSeries(whole.hu[:-1], whole.affine, whole.files[:-1]))
    after_patch[2] = lambda: pipeline.receive(whole.files[-1:])
    if then == "fails":
        after_patch[3] = _run_out_of_memory
    assert analyse(pipeline, lambda: then == "is told to stop" and pipeline.row(whole).revision == 2)
    row = pipeline.row(whole)
    assert (row.state, row.revision) == (SeriesState.RECEIVING, 2)
    assert pipeline.audit("series-analysed") == pipeline.audit("series-postponed") == []


def test_errors_that_may_pass_are_tried_again_ever_later_and_then_set_aside(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    after_patch[1] = _run_out_of_memory
    for delay_s in (10.0, 20.0):
        assert analyse(pipeline)
        row = pipeline.row(series)
        assert row.not_before is not None
        assert (row.not_before - pipeline.clock()).total_seconds() == delay_s
        pipeline.clock.now = row.not_before
    assert analyse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.FAILED, "attempts-used-up")
    assert "no room for a patch" in str(row.last_error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_is_waited_for_and_uses_up_no_tries(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]], number: int
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number))

    after_patch[1] = refuse
    for _ in range(2 * pipeline.settings.model.maximum_attempts):
        assert analyse(pipeline)
        row = pipeline.row(series)
        assert (row.state, row.attempts) == (SeriesState.QUEUED, 0) and row.not_before is not None
        pipeline.clock.now = row.not_before
    del after_patch[1]
    assert analyse(pipeline)
    assert pipeline.row(series).state == SeriesState.ANALYSED


def test_weights_that_cannot_be_used_fail_the_series_at_once_and_the_next_is_looked_at(
    tmp_path: Path,
    pipeline: Pipeline,
    series: HeadSeries,
    after_patch: dict[int, Callable[[], object]],
) -> None:
    def no_weights() -> LoadedModel:
        raise WeightsError(what="conv1.weight is missing", where="own.safetensors", advice="Give another file")

    assert analyse(pipeline, load=no_weights)
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.FAILED, "cannot-compute")
    assert "own.safetensors: conv1.weight is missing. Give another file" in str(row.last_error)
    second = small_series(tmp_path / "second", "second")
    accept(pipeline, second)
    assert analyse(pipeline)
    assert pipeline.row(second).state == SeriesState.ANALYSED


def test_a_device_that_stays_away_fails_the_series_as_what_cannot_be_computed(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    """It may come back, so it is waited for; the code says in the end that the series is not to blame."""

    def no_device() -> LoadedModel:
        raise DeviceError(what="there is no such device", where="cuda:3", retry_helps=True, advice="Set another")

    for attempt in range(pipeline.settings.model.maximum_attempts):
        assert pipeline.row(series).state == SeriesState.QUEUED, attempt
        assert analyse(pipeline, load=no_device)
        pipeline.clock.advance(24 * 3600)
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.FAILED, "cannot-compute")
    assert "cuda:3: there is no such device" in str(row.last_error)


def test_a_series_without_contrast_is_refused_before_the_network_runs(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]]
) -> None:
    after_patch[0] = _run_out_of_memory
    with open_pipeline(tmp_path / "node", selection={"contrast_minimum_volume_ml": 1000.0}) as pipeline:
        series = small_series(tmp_path)
        accept(pipeline, series)
        assert analyse(pipeline)
        row = pipeline.row(series)
        assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.NO_CONTRAST)


def test_pixels_that_cannot_be_read_are_a_refusal(
    pipeline: Pipeline, series: HeadSeries, after_patch: dict[int, Callable[[], object]]
) -> None:
    after_patch[0] = _run_out_of_memory
    file = next(pipeline.folders.spool.rglob("*.dcm"))
    file.write_bytes(file.read_bytes()[:-100])
    assert analyse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.PIXEL_DATA_UNREADABLE)


def _run_out_of_memory() -> None:
    raise OutOfMemory(what="no room for a patch", where="cpu", retry_helps=True)
