import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch

from dicom_node import analysis
from dicom_node.analysis import _findings_path, analyse_next
from dicom_node.reasons import Reason
from glianet.engine import EngineSettings, Progress
from glianet.errors import DeviceError, DeviceLost, OutOfMemory, WeightsError
from glianet.findings import load_findings
from glianet.load_model import LoadedModel
from glianet.model import Model
from glianet.score_files import load_risk, load_scores, risk_path, scores_path
from glianet.scores import RiskGrid, Scores
from glianet.volume import Volume
from storage.recovery import release_leases
from storage.states import SeriesState
from tests.support.head_series import HeadSeries
from tests.support.pipeline import WEIGHTS, Pipeline, open_pipeline, small_series

PATCHES = 5
LESION = (slice(2, 5), slice(6, 9), slice(4, 7))


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


def accept(pipeline: Pipeline, series: HeadSeries) -> None:
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED


@pytest.fixture
def after_patch(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], object]]:
    """What shall happen after which patch. In place of the network, whose own tests run it, a block scores high."""
    happenings: dict[int, Callable[[], object]] = {}

    def score(volume: Volume, model: Model, settings: EngineSettings, progress: Progress) -> Scores:
        for done in range(PATCHES + 1):
            happenings.get(done, lambda: None)()
            progress(done, PATCHES)
        probability = np.zeros(volume.shape, np.float32)
        probability[LESION] = 0.875
        risk = RiskGrid(np.full((1, 1, 1), 0.5, np.float32), ((0,), (0,), (0,)))
        fine = risk if settings.risk_overlap else None
        assert settings.threshold == 0.5
        how = "torch float32 on cpu"
        return Scores(probability, risk, fine, settings.step, settings.exact, 0.5, PATCHES, 0, how)

    monkeypatch.setattr(analysis, "score_volume", score)
    return happenings


def load() -> LoadedModel:
    return LoadedModel(Model((), torch.device("cpu")), WEIGHTS)


def analyse(
    pipeline: Pipeline,
    stopping: Callable[[], bool] = lambda: False,
    load: Callable[[], LoadedModel] = load,
) -> bool:
    owner = "worker:1:analysis"
    return analyse_next(
        pipeline.db, pipeline.folders, pipeline.settings, load, owner, pipeline.clock, stopping
    )


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


def test_the_risk_map_is_kept_beside_the_findings_where_it_is_set(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]]
) -> None:
    with open_pipeline(tmp_path / "node", results={"risk_map": True}) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        (path,) = pipeline.folders.findings.rglob("*-risk.nii.gz")
        risk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        assert risk.shape == made.hu.shape and (risk == 0.5).all()
        (entry,) = pipeline.audit("series-analysed")
        assert entry.detail["risk_map"] == path.name == "1-risk.nii.gz"
        assert entry.detail["risk_grid"] == "1-risk.npz"
        assert "scores" not in entry.detail and not list(pipeline.folders.findings.rglob("*scores*"))


def test_a_risk_map_that_cannot_be_kept_is_in_the_audit_log_and_the_findings_stay(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(analysis, "write_nifti", refuse)
    with open_pipeline(tmp_path / "node", results={"risk_map": True}) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        assert pipeline.row(made).state == SeriesState.ANALYSED
        (entry,) = pipeline.audit("series-analysed")
        assert (entry.detail["risk_map"], entry.detail["risk_map_error"]) == (None, "OSError")


def destination(**switches: str) -> dict[str, object]:
    return {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 4242, **switches}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ({}, set()),
        ({"probability": "on"}, {"1-scores.npz"}),
        ({"risk_map": "on"}, {"1-risk.npz"}),
        ({"risk_map": "on", "risk_map_form": "segmentation"}, {"1-risk.npz"}),
        ({"profile": "archive"}, {"1-scores.npz", "1-risk.npz"}),
    ],
)
def test_what_a_destination_wants_maps_of_is_kept_beside_the_findings(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], wanted: dict[str, str], kept: set[str]
) -> None:
    """One destination that wants it is enough."""
    other = {**destination(), "name": "other"}
    with open_pipeline(tmp_path / "node", destination=[other, destination(**wanted)]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        path = pipeline.folders.findings / str(pipeline.row(made).findings_path)
        assert {file.name for file in path.parent.iterdir()} == {"1.npz", *kept}
        (entry,) = pipeline.audit("series-analysed")
        assert {entry.detail[name] for name in ("scores", "risk_grid") if name in entry.detail} == kept


def test_scores_and_risks_that_are_kept_are_those_of_the_network(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]]
) -> None:
    with open_pipeline(tmp_path / "node", destination=[destination(profile="archive")]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        assert analyse(pipeline)
        path = pipeline.folders.findings / str(pipeline.row(made).findings_path)
        findings = load_findings(path)
        expected = np.zeros(made.hu.shape, np.uint8)
        expected[LESION] = 223  # 0.875 of 255
        np.testing.assert_array_equal(load_scores(scores_path(path), findings), expected)
        risk = load_risk(risk_path(path), findings)
        assert (risk.values.tolist(), risk.starts) == ([[[0.5]]], ((0,), (0,), (0,)))


def test_scores_that_cannot_be_kept_are_in_the_audit_log_and_the_findings_stay(
    tmp_path: Path, after_patch: dict[int, Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an analysis before this one go: they are not those of these findings."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with open_pipeline(tmp_path / "node", destination=[destination(profile="archive")]) as pipeline:
        made = small_series(tmp_path)
        accept(pipeline, made)
        stale = scores_path(pipeline.folders.findings / _findings_path(pipeline.row(made)))
        stale.parent.mkdir(parents=True)
        stale.write_bytes(b"of another analysis")
        monkeypatch.setattr(analysis, "save_scores", refuse)
        assert analyse(pipeline)
        assert pipeline.row(made).state == SeriesState.ANALYSED
        (entry,) = pipeline.audit("series-analysed")
        assert (entry.detail["scores"], entry.detail["scores_error"]) == (None, "OSError")
        assert entry.detail["risk_grid"] == "1-risk.npz"
        assert not stale.exists()


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
