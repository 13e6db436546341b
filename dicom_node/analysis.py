"""Analysis: the worker's stage, that turns an accepted series into findings on disk and a committed row."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_node.clock import Clock
from dicom_node.dicom_file import read_headers
from dicom_node.eligibility import check_contrast
from dicom_node.errors import NodeError
from dicom_node.failures import CANNOT_COMPUTE
from dicom_node.folders import Folders
from dicom_node.frames import damage_refused
from dicom_node.read_series import inspect_series, read_volume
from dicom_node.reasons import NotAnalysable
from dicom_node.result_kinds import PROBABILITY, RISK_MAP, RISK_MAP_AS_SEGMENTATION
from dicom_node.settings import Settings
from glianet.engine import EngineSettings, score_volume
from glianet.errors import BackendError, DeviceError, DeviceLost, GliaNetError, WeightsError
from glianet.findings import Findings, save_findings
from glianet.lesions import LesionSettings, find_lesions
from glianet.load_model import LoadedModel
from glianet.nifti import write_nifti
from glianet.risk import RISK_MAP_OVERLAP
from glianet.score_files import risk_path, save_risk, save_scores, scores_path
from glianet.scores import Scores
from glianet.volume import Volume
from storage.database import Database
from storage.errors import LostClaim, is_of_the_disk
from storage.jobs import claim_series, conclude_analysis, fail, give_back, postpone, refuse, renew
from storage.series import SeriesRow, instance_paths
from storage.spool import Spool, series_folder
from storage.states import SeriesState

NOT_OF_THE_SERIES = (WeightsError, DeviceError, BackendError)

RISK_MAPS = (RISK_MAP, RISK_MAP_AS_SEGMENTATION)

RENEWALS_PER_LEASE = 4  # so that one slow patch does not lose the lease

log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The node is shutting down: the claimed series is given back."""


def analyse_next(
    db: Database,
    folders: Folders,
    settings: Settings,
    load: Callable[[], LoadedModel],
    owner: str,
    clock: Clock,
    stopping: Callable[[], bool],
) -> bool:
    """Analyse one accepted series; whether there was one.

    load: gives the model; raises GliaNetError where weights, device or backend are not usable.

    The claim's lease is renewed as patches are computed. A series that a late slice re-opened meanwhile loses
    its claim and is left alone; a stop gives the claim back without counting the attempt. Raises DeviceLost.
    """
    lease = timedelta(seconds=settings.model.lease_s)
    claim = claim_series(db, SeriesState.QUEUED, owner, clock(), lease)
    if claim is None:
        return False
    log.info("analysis started", series=claim.series_instance_uid, slices=claim.instance_count)
    try:
        _analyse_or_say_why_not(db, folders, settings, load, claim, clock, stopping)
    except LostClaim:
        log.info("series changed while it was analysed", series=claim.series_instance_uid)
    finally:
        folders.progress.unlink(missing_ok=True)
    return True


def _analyse_or_say_why_not(
    db: Database,
    folders: Folders,
    settings: Settings,
    load: Callable[[], LoadedModel],
    claim: SeriesRow,
    clock: Clock,
    stopping: Callable[[], bool],
) -> None:
    try:
        _analyse(db, folders, settings, load, claim, clock, stopping)
    except Stopped:
        give_back(db, claim, clock())
    except NotAnalysable as refusal:
        refuse(db, claim, str(refusal.reason), refusal.detail, clock())
        log.info("series refused", series=claim.series_instance_uid, reason=str(refusal.reason))
    except DeviceLost:
        raise  # the process must end: whoever starts it again counts the crash and frees the series
    except (GliaNetError, NodeError, OSError, RuntimeError, MemoryError) as error:
        log.error("analysis failed", series=claim.series_instance_uid, error=str(error), exc_info=True)
        last = claim.attempts >= settings.model.maximum_attempts
        if isinstance(error, NOT_OF_THE_SERIES) and (last or not error.retry_helps):
            fail(db, claim, CANNOT_COMPUTE, str(error), clock())
            return
        delay = timedelta(seconds=settings.model.retry_delay_s) * 2 ** (claim.attempts - 1)
        tries, counts = settings.model.maximum_attempts, not is_of_the_disk(error)
        postpone(db, claim, str(error) or repr(error), delay, tries, clock(), counts=counts)


def _analyse(
    db: Database,
    folders: Folders,
    settings: Settings,
    load: Callable[[], LoadedModel],
    claim: SeriesRow,
    clock: Clock,
    stopping: Callable[[], bool],
) -> None:
    started = clock()
    loaded = load()
    volume = _read(db, folders, settings, claim)
    check_contrast(volume, settings.selection)
    keep_claim = _Heartbeat(db, folders.progress, claim, settings.model.lease_s, clock, stopping)
    findings, scores = _find(volume, loaded, settings, keep_claim)
    path = _findings_path(claim)
    save_findings(findings, folders.findings / path)
    kept = _keep_beside(folders.findings / path, findings, scores, volume, settings)
    detail = _describe(findings, volume, (clock() - started).total_seconds()) | kept
    conclude_analysis(db, claim, str(path), findings.weights_sha256, len(findings.lesions), detail, clock())
    log.info("analysis finished", series=claim.series_instance_uid, **detail)


def _read(db: Database, folders: Folders, settings: Settings, claim: SeriesRow) -> Volume:
    spool = Spool(folders.spool)
    rows = instance_paths(db, claim.id)
    with damage_refused():
        headers = read_headers([spool.absolute(row.path) for row in rows])
        source = inspect_series(headers, settings.selection, settings.assembly, conflicting=claim.conflicting)
        return read_volume(source)


def _find(
    volume: Volume, loaded: LoadedModel, settings: Settings, progress: Callable[[int, int], None]
) -> tuple[Findings, Scores]:
    model = settings.model
    overlap = RISK_MAP_OVERLAP if settings.results.risk_map or _wanted(settings, *RISK_MAPS) else None
    engine = EngineSettings(model.step, model.threshold, exact=model.exact, risk_overlap=overlap)
    scores = score_volume(volume, loaded.model, engine, progress)
    lesions = LesionSettings(model.threshold, model.detection_threshold, model.minimum_lesion_mm3)
    return find_lesions(scores, volume, lesions, weights_sha256=loaded.sha256), scores


def _wanted(settings: Settings, *kinds: str) -> bool:
    """Whether any destination gets results of one of these kinds."""
    return any(not destination.wanted.isdisjoint(kinds) for destination in settings.destinations)


def _keep_beside(
    path: Path, findings: Findings, scores: Scores, volume: Volume, settings: Settings
) -> dict[str, object]:
    """What maps are made of, beside the findings at `path`, where it is wanted; what the audit log says of it."""
    risk_map = path.with_name(f"{path.stem}-risk.nii.gz")
    risk_kept, scores_kept = scores.fine_risk is not None, _wanted(settings, PROBABILITY)
    return {
        **_keep("risk_map", risk_map, settings.results.risk_map, lambda file: _write_risk_map(file, scores, volume)),
        **_keep("risk_grid", risk_path(path), risk_kept, lambda file: _save_risk(file, scores, findings)),
        **_keep(
            "scores", scores_path(path), scores_kept, lambda file: save_scores(scores.probability, findings, file)
        ),
    }


def _write_risk_map(path: Path, scores: Scores, volume: Volume) -> None:
    assert scores.fine_risk is not None
    write_nifti(path, scores.fine_risk.to_map(volume.shape), volume.affine)


def _save_risk(path: Path, scores: Scores, findings: Findings) -> None:
    assert scores.fine_risk is not None
    save_risk(scores.fine_risk, findings, path)


def _keep(what: str, path: Path, wanted: bool, write: Callable[[Path], None]) -> dict[str, object]:
    """Beside the findings, which are safe by now, and which are the findings without it too.

    Nothing where it is not wanted; the file's name, or why there is none.
    """
    try:
        path.unlink(missing_ok=True)  # of an analysis before this one
        if not wanted:
            return {}
        write(path)
    except (GliaNetError, OSError, MemoryError, ValueError) as problem:
        log.warning("a file beside the findings is not kept", what=what, path=str(path), error=str(problem))
        return {what: None, f"{what}_error": type(problem).__name__}
    return {what: path.name}


def _findings_path(claim: SeriesRow) -> Path:
    return Path(series_folder(claim.series_instance_uid)) / f"{claim.revision}.npz"


def _describe(findings: Findings, volume: Volume, seconds: float) -> dict[str, object]:
    return {
        "lesions": len(findings.lesions),
        "volumes_mm3": [round(lesion.volume_mm3, 1) for lesion in findings.lesions],
        "slices": volume.shape[0],
        "patches": findings.patches_computed,
        "patches_skipped": findings.patches_skipped,
        "computation": findings.computation,
        "step": findings.step,
        "threshold": findings.threshold,
        "detection_threshold": findings.detection_threshold,
        "seconds": round(seconds, 1),
    }


class _Heartbeat:
    """Called after every patch: renews the lease, writes progress for `dicom-node status`, notices a stop."""

    def __init__(
        self,
        db: Database,
        progress_file: Path,
        claim: SeriesRow,
        lease_s: float,
        clock: Clock,
        stopping: Callable[[], bool],
    ) -> None:
        self._db = db
        self._progress_file = progress_file
        self._claim = claim
        self._lease = timedelta(seconds=lease_s)
        self._clock = clock
        self._stopping = stopping
        self._renewed: datetime = clock()

    def __call__(self, done: int, total: int) -> None:
        if self._stopping():
            raise Stopped
        self._write_progress(done, total)
        now = self._clock()
        if now - self._renewed > self._lease / RENEWALS_PER_LEASE:
            renew(self._db, self._claim, now, self._lease)
            self._renewed = now

    def _write_progress(self, done: int, total: int) -> None:
        """Written whole and renamed, not fsynced: nothing depends on it."""
        text = json.dumps({"series": self._claim.series_instance_uid, "patches": done, "of": total})
        temporary = self._progress_file.with_suffix(".tmp")
        temporary.write_text(text)
        temporary.replace(self._progress_file)
