"""Assembly: a series that has gone quiet is inspected and accepted for analysis, or refused with a coded reason."""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from pydicom import Dataset

from dicom_node.clock import Clock
from dicom_node.conflicts import explain_conflict
from dicom_node.dicom_file import read_headers
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.frames import damage_refused, read_value
from dicom_node.legible import check_identifying
from dicom_node.patients import patient_of_series
from dicom_node.read_series import SourceSeries, inspect_series
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import Settings
from dicom_node.urgency import is_urgent
from storage.database import Database
from storage.errors import LostClaim
from storage.jobs import accept, claim_series, postpone, refuse
from storage.series import (
    InstanceRow,
    SeriesRow,
    complete_series,
    instance_paths,
    missing_instances,
)
from storage.spool import Spool
from storage.states import SeriesState

LEASE = timedelta(minutes=5)  # far above the seconds that reading some thousand headers takes
MAXIMUM_ATTEMPTS = 5  # reading headers from the local disk fails for reasons that seldom go away
RETRY_DELAY = timedelta(seconds=30)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

log = structlog.get_logger(__name__)


def assemble_next(db: Database, spool: Spool, settings: Settings, owner: str, clock: Clock) -> bool:
    """Close the series that are complete and decide on one of them; whether there was one to decide on."""
    complete_series(db, clock(), timedelta(seconds=settings.assembly.quiet_s))
    claim = claim_series(db, SeriesState.COMPLETE, owner, clock(), LEASE)
    if claim is None:
        return False
    try:
        _decide(db, spool, settings, claim, clock)
    except LostClaim:
        log.info("series changed while it was inspected", series=claim.series_instance_uid)
    return True


def _decide(db: Database, spool: Spool, settings: Settings, claim: SeriesRow, clock: Clock) -> None:
    said: dict[str, object] = {}
    try:
        with damage_refused():
            said = {"patient_hash": patient_of_series(db, Folders(settings.storage.folder), claim.id)}
            headers, source = _inspect(db, spool, settings, claim)
            urgent = is_urgent(headers[0], settings.selection.urgent)
    except NotAnalysable as refusal:
        refuse(db, claim, str(refusal.reason), refusal.detail, clock(), said)
        log.info(
            "series refused", series=claim.series_instance_uid, reason=refusal.reason, detail=refusal.detail
        )
        return
    except (NodeError, OSError) as error:
        log.error("series could not be inspected", series=claim.series_instance_uid, error=str(error))
        delay = RETRY_DELAY * 2 ** (claim.attempts - 1)
        postpone(db, claim, str(error), delay, MAXIMUM_ATTEMPTS, clock())
        return
    accept(db, claim, urgent, {**_describe(source), **said}, clock())
    log.info("series accepted", series=claim.series_instance_uid, **_describe(source))


def _inspect(
    db: Database, spool: Spool, settings: Settings, claim: SeriesRow
) -> tuple[tuple[Dataset, ...], SourceSeries]:
    _check_whole(db, claim)
    rows = instance_paths(db, claim.id)
    if claim.conflicting:
        raise explain_conflict(rows, spool)
    limit = settings.selection.maximum_slices
    if len(rows) > limit:
        raise NotAnalysable(Reason.TOO_LARGE, f"{len(rows)} instances, at most {limit}")
    headers = read_headers(spool.absolute(row.path) for row in rows)
    _check_identity(headers, rows, claim)
    return headers, inspect_series(headers, settings.selection, settings.assembly, conflicting=False)


def _check_whole(db: Database, claim: SeriesRow) -> None:
    """A part of what was once here is no series, even where it looks like one."""
    missing = missing_instances(db, claim.id)
    if missing:
        detail = f"{claim.instance_count} images came, and {missing} that had been here did not come again"
        raise NotAnalysable(Reason.IMAGES_DELETED, detail)


def _check_identity(headers: Sequence[Dataset], rows: Sequence[InstanceRow], claim: SeriesRow) -> None:
    """The whole header names the instance that the receiver filed, which read only as far as the UIDs.

    A data set with its elements out of order or doubled may be read in two ways; its results must not go under
    another study. Nor under another patient: where one image's Patient ID, name, birth date or sex cannot be read, the
    series is refused, and the other images do not stand in for it. What else cannot be read, such as the Study Date,
    the results lack (`encoding.source_attributes`): that is no reason not to look for an aneurysm.
    """
    for header, row in zip(headers, rows, strict=True):
        check_identifying(header)
        filed = (claim.study_instance_uid, claim.series_instance_uid, row.sop_instance_uid)
        if tuple(read_value(header, keyword) for keyword in _UIDS) != filed:
            raise NotAnalysable(Reason.MIXED_SERIES, "an instance's UIDs are not those under which it was received")


def _describe(source: SourceSeries) -> dict[str, object]:
    depth, height, width = source.geometry.shape
    return {"slices": depth, "rows": height, "columns": width}
