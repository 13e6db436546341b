"""Publishing: what was found, or why nothing was looked for, becomes DICOM objects in the outbox."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from pydicom import Dataset

from dicom_node.clock import Clock
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.encode_results import EncodedObject, encode_refusal_results, encode_results
from dicom_node.encoding.key_images import kind_of
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.identifiers import analysis_fingerprint, digest_of_instances
from dicom_node.read_series import inspect_series, read_headers, read_volume
from dicom_node.reasons import REASONS, NotAnalysable, Reason
from dicom_node.settings import Settings
from glianet import __version__
from glianet.errors import GliaNetError
from glianet.findings import Findings, load_findings
from storage.database import Database
from storage.durable import write_durable
from storage.errors import LostClaim, StorageError
from storage.jobs import ResultObject, claim_series, postpone, publish
from storage.series import InstanceRow, SeriesRow, instance_paths
from storage.spool import Spool
from storage.states import SeriesState

LEASE = timedelta(minutes=10)  # reading, drawing and checking 1,300 slices with 40 lesions takes a minute
MAXIMUM_ATTEMPTS = 3
"""At the last one, findings go out without pictures where these alone are what fails."""
UNENCODABLE = (NodeError, GliaNetError, StorageError, OSError, ValueError, RuntimeError, MemoryError)
RETRY_DELAY = timedelta(seconds=30)

log = structlog.get_logger(__name__)


def publish_next(db: Database, folders: Folders, settings: Settings, owner: str, clock: Clock) -> bool:
    """Encode, check and put into the outbox the results of one series; whether there was one."""
    claim = claim_series(db, SeriesState.ANALYSED, owner, clock(), LEASE) or claim_series(
        db, SeriesState.REFUSED, owner, clock(), LEASE
    )
    if claim is None:
        return False
    try:
        _publish(db, folders, settings, claim, clock)
    except LostClaim:
        log.info("series changed while its results were encoded", series=claim.series_instance_uid)
    return True


def _publish(db: Database, folders: Folders, settings: Settings, claim: SeriesRow, clock: Clock) -> None:
    try:
        objects = _encode(folders, settings, claim, instance_paths(db, claim.id))
        results = [_write(folders.results, claim, encoded) for encoded in objects]
    except UNENCODABLE as error:
        log.error("results could not be encoded", series=claim.series_instance_uid, error=str(error))
        delay = RETRY_DELAY * 2 ** (claim.attempts - 1)
        postpone(db, claim, str(error) or repr(error), delay, MAXIMUM_ATTEMPTS, clock())
        return
    publish(db, claim, results, _shares(settings, results), clock())
    log.info("results published", series=claim.series_instance_uid, roles=[result.role for result in results])


def _shares(settings: Settings, results: list[ResultObject]) -> dict[str, list[str]]:
    """For each destination, the roles of the results that it gets."""
    return {
        destination.name: [one.role for one in results if kind_of(one.role) in destination.wanted]
        for destination in settings.destinations
    }


def _key_images_wanted(settings: Settings) -> bool:
    return any("key-image" in destination.wanted for destination in settings.destinations)


def _encode(
    folders: Folders, settings: Settings, claim: SeriesRow, instances: list[InstanceRow]
) -> tuple[EncodedObject, ...]:
    spool = Spool(folders.spool)
    if claim.state == SeriesState.ANALYSED:
        return _encode_findings(folders, spool, settings, claim, instances)
    return _encode_refusal(spool, settings, claim, instances)


def _encode_findings(
    folders: Folders, spool: Spool, settings: Settings, claim: SeriesRow, instances: list[InstanceRow]
) -> tuple[EncodedObject, ...]:
    assert claim.findings_path is not None
    findings = load_findings(folders.findings / claim.findings_path)
    headers = read_headers([spool.absolute(row.path) for row in instances])
    source = inspect_series(headers, settings.selection, settings.assembly, conflicting=False)
    context = _context(settings, claim, instances, findings)
    pixels = partial(read_volume, source) if _key_images_wanted(settings) else None
    try:
        return encode_results(source, findings, context, pixels)
    except UNENCODABLE as error:
        if pixels is None or claim.attempts < MAXIMUM_ATTEMPTS:
            raise
        log.error("key images are left out", series=claim.series_instance_uid, error=repr(error))
        return encode_results(source, findings, context, without_pictures=True)


def _encode_refusal(
    spool: Spool, settings: Settings, claim: SeriesRow, instances: list[InstanceRow]
) -> tuple[EncodedObject, ...]:
    reason = Reason(claim.reason_code or "")
    wanted = settings.results.report_refusals
    if wanted == "none" or (wanted == "defects" and REASONS[reason].kind != "defect"):
        return ()
    headers = list(_readable_headers(spool.absolute(row.path) for row in instances if not row.conflict))
    if not headers:
        log.warning("no header can be read: there is no study to report to", series=claim.series_instance_uid)
        return ()
    context = _context(settings, claim, instances, None)
    return encode_refusal_results(
        headers, reason, claim.reason_detail or "", context, with_key_image=_key_images_wanted(settings)
    )


def _readable_headers(paths: Iterable[Path]) -> Iterator[Dataset]:
    """A damaged image may be the very reason of the refusal; the others name patient and study."""
    for path in paths:
        try:
            yield from read_headers([path])
        except NotAnalysable as error:
            log.info("image left out of the report", path=str(path), error=str(error))


def _context(
    settings: Settings, claim: SeriesRow, instances: list[InstanceRow], findings: Findings | None
) -> ResultContext:
    assert claim.concluded_at is not None
    context = ResultContext(
        concluded_at=claim.concluded_at,
        fingerprint=_fingerprint(claim, findings),
        algorithm_name="GLIA-Net",
        algorithm_version=__version__,
        weights_sha256="",
        results=settings.results,
        node_ae_title=settings.node.ae_title,
        instances_digest=digest_of_instances(row.sop_instance_uid for row in instances),
        time_zone=_time_zone(settings, claim.concluded_at),
    )
    return context if findings is None else replace(context, weights_sha256=findings.weights_sha256)


def _time_zone(settings: Settings, moment: datetime) -> tzinfo:
    """The set zone, or what this machine's clock showed at that moment."""
    return ZoneInfo(settings.node.time_zone) if settings.node.time_zone else moment.astimezone().tzinfo or UTC


def _fingerprint(claim: SeriesRow, findings: Findings | None) -> str:
    if findings is None:
        return analysis_fingerprint(
            version=__version__, refused=claim.reason_code, detail=claim.reason_detail
        )
    return analysis_fingerprint(
        version=findings.algorithm_version,
        weights=findings.weights_sha256,
        step=findings.step,
        minimum_volume_mm3=findings.minimum_volume_mm3,
        minimum_voxels=findings.minimum_voxels,
        threshold=findings.threshold,
        exact=findings.exact,
        computation=findings.computation,
    )


def _write(root: Path, claim: SeriesRow, encoded: EncodedObject) -> ResultObject:
    folder = sha256(claim.series_instance_uid.encode()).hexdigest()[:32]
    relative = Path(folder) / str(claim.revision) / f"{encoded.role}.dcm"
    write_durable(root / relative, encoded.data)
    return ResultObject(
        role=encoded.role,
        sop_class_uid=encoded.sop_class_uid,
        sop_instance_uid=encoded.sop_instance_uid,
        series_instance_uid=encoded.series_instance_uid,
        path=str(relative),
        sha256=sha256(encoded.data).hexdigest(),
        size=len(encoded.data),
    )
