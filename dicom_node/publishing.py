"""Publishing: what was found, or why nothing was looked for, becomes DICOM objects in the outbox."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog
from pydicom import Dataset

from dicom_node.clock import Clock
from dicom_node.dicom_file import read_headers
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.encode_results import (
    Encoded,
    EncodedObject,
    Maps,
    encode_refusal_results,
    encode_results,
)
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.frames import DAMAGED
from dicom_node.identifiers import analysis_fingerprint, digest_of_instances
from dicom_node.legible import check_identifying
from dicom_node.read_series import inspect_series
from dicom_node.reasons import REASONS, NotAnalysable, Reason
from dicom_node.result_kinds import PROBABILITY, RISK_MAP, RISK_MAP_AS_SEGMENTATION, SEGMENTATIONS, STATEMENTS
from dicom_node.settings import Settings
from dicom_node.supersession import SAYS_NOTHING_OF_EARLIER, Earlier, find_earlier, follow
from glianet import __version__
from glianet.errors import GliaNetError
from glianet.findings import Findings, load_findings
from glianet.score_files import load_risk, load_scores, risk_path, scores_path
from storage.database import Database
from storage.durable import write_durable
from storage.errors import LostClaim, StorageError, is_of_the_disk
from storage.jobs import ResultObject, claim_series, postpone, publish
from storage.series import InstanceRow, SeriesRow, instance_paths
from storage.spool import Spool, series_folder
from storage.states import SeriesState

LEASE = timedelta(minutes=10)  # reading, drawing and checking 1,300 slices with 40 lesions takes a minute
MAXIMUM_ATTEMPTS = 3
"""At the last one, each kind of result stands for itself: one that fails no longer holds up the others."""
UNSERVED = "what it is to be told could not be made; look at the reason, then `dicom-node reanalyse` the series"
UNENCODABLE = (NodeError, GliaNetError, StorageError, OSError, RuntimeError, MemoryError, *DAMAGED)
RETRY_DELAY = timedelta(seconds=30)

Kept = TypeVar("Kept")

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
        earlier = find_earlier(db, claim)
        encoded = _encode(db, folders, settings, claim, earlier)
        unserved = _unserved(settings, encoded)
        results = [_write(folders.results, claim, one, earlier) for one in encoded.objects]
    except UNENCODABLE as error:
        log.error("results could not be encoded", series=claim.series_instance_uid, error=str(error))
        delay = RETRY_DELAY * 2 ** (claim.attempts - 1)
        counts = not is_of_the_disk(error)
        postpone(db, claim, str(error) or repr(error), delay, MAXIMUM_ATTEMPTS, clock(), counts=counts)
        return
    if encoded.left_out:
        log.warning("results are left out", series=claim.series_instance_uid, kinds=dict(encoded.left_out))
    shares, left_out = _shares(settings, encoded, unserved), encoded.left_out
    publish(db, claim, results, shares, clock(), left_out=left_out, unserved=unserved)
    log.info("results published", series=claim.series_instance_uid, roles=[result.role for result in results])


def _shares(settings: Settings, encoded: Encoded, unserved: Collection[str]) -> dict[str, list[str]]:
    """For each destination, the roles of the results that it gets."""
    return {
        destination.name: [
            one.role for one in encoded.objects if one.kind in destination.wanted and destination.name not in unserved
        ]
        for destination in settings.destinations
    }


def _unserved(settings: Settings, encoded: Encoded) -> dict[str, str]:
    """Destinations that would be left without what they are to be told, each with the reason; they get nothing.

    What somebody is to be told is what says it in words, or, where words are not wanted, the Segmentation.

    Raises:
        NodeError: nobody is served.
    """
    made = {one.kind for one in encoded.objects}
    reasons = {}
    for destination in settings.destinations:
        needed = destination.wanted & STATEMENTS or destination.wanted & set(SEGMENTATIONS)
        lacking = needed & set(encoded.left_out)
        if lacking and not needed & made:
            said = "; ".join(f"{kind}: {encoded.left_out[kind]}" for kind in sorted(lacking))
            reasons[destination.name] = f"{UNSERVED}: {said}"
    if reasons and not any(_shares(settings, encoded, reasons).values()):
        raise NodeError("; ".join(reasons.values()), where="encoding")
    return reasons


def _wanted(settings: Settings) -> frozenset[str]:
    """The kinds of results that any destination gets."""
    return frozenset[str]().union(*(destination.wanted for destination in settings.destinations))


def _encode(
    db: Database, folders: Folders, settings: Settings, claim: SeriesRow, earlier: Earlier
) -> Encoded:
    instances = instance_paths(db, claim.id)
    if claim.state == SeriesState.ANALYSED:
        return _encode_findings(folders, settings, claim, instances, earlier)
    return _encode_refusal(Spool(folders.spool), settings, claim, instances, earlier)


def _encode_findings(
    folders: Folders,
    settings: Settings,
    claim: SeriesRow,
    instances: list[InstanceRow],
    earlier: Earlier,
) -> Encoded:
    assert claim.findings_path is not None
    path, spool = folders.findings / claim.findings_path, Spool(folders.spool)
    findings = load_findings(path)
    headers = read_headers([spool.absolute(row.path) for row in instances])
    source = inspect_series(headers, settings.selection, settings.assembly, conflicting=False)
    digest = sha256(path.read_bytes()).hexdigest()
    context = _context(settings, claim, instances, findings, earlier, digest)
    wanted = _wanted(settings)
    maps = _kept_maps(path, findings, wanted)
    return encode_results(source, findings, context, wanted, maps, leave_out=_is_last(claim))


def _is_last(claim: SeriesRow) -> bool:
    return claim.attempts >= MAXIMUM_ATTEMPTS


def _kept_maps(path: Path, findings: Findings, wanted: frozenset[str]) -> Maps:
    """What the analysis kept beside its findings, as far as a destination wants it and it was kept."""
    scores = _kept(load_scores, scores_path(path), findings) if PROBABILITY in wanted else None
    risk = _kept(load_risk, risk_path(path), findings) if wanted & {RISK_MAP, RISK_MAP_AS_SEGMENTATION} else None
    return Maps(scores, risk)


def _kept(load: Callable[[Path, Findings], Kept], path: Path, findings: Findings) -> Kept | None:
    try:
        return load(path, findings)
    except GliaNetError as problem:
        log.warning("a map is left out of the results", path=str(path), error=str(problem))
        return None


def _encode_refusal(
    spool: Spool,
    settings: Settings,
    claim: SeriesRow,
    instances: list[InstanceRow],
    earlier: Earlier,
) -> Encoded:
    reason = Reason(claim.reason_code or "")
    if not _is_reported(reason, settings, earlier):
        return Encoded(())
    headers = list(_readable_headers(spool.absolute(row.path) for row in instances if not row.conflict))
    if not headers:
        log.warning("no header can be read: there is no study to report to", series=claim.series_instance_uid)
        return Encoded(())
    context = _context(settings, claim, instances, None, earlier)
    if reason in SAYS_NOTHING_OF_EARLIER:
        context = replace(context, replaced={}, replaces_results=False)
    detail, kinds = claim.reason_detail or "", _wanted(settings)
    return encode_refusal_results(headers, reason, detail, context, kinds, leave_out=_is_last(claim))


def _is_reported(reason: Reason, settings: Settings, earlier: Earlier) -> bool:
    """As the setting says; but whoever was told that the series was analysed is told that it now is not."""
    wanted = settings.results.report_refusals
    told = reason not in SAYS_NOTHING_OF_EARLIER and any(one.objects for one in earlier.deliveries)
    return wanted != "none" and (wanted == "all" or REASONS[reason].kind != "not-a-candidate" or told)


def _readable_headers(paths: Iterable[Path]) -> Iterator[Dataset]:
    """A damaged image may be the very reason of the refusal; the others name patient and study, and where none does
    nobody is told: a report under a patient who may be another one would be worse."""
    for path in paths:
        try:
            (header,) = read_headers([path])
            check_identifying(header)
            yield header
        except NotAnalysable as error:
            log.info("image left out of the report", path=str(path), error=str(error))


def _context(
    settings: Settings,
    claim: SeriesRow,
    instances: list[InstanceRow],
    findings: Findings | None,
    earlier: Earlier,
    findings_digest: str = "",
) -> ResultContext:
    """findings_digest: of the file that holds them, which is the same for the same findings."""
    assert claim.concluded_at is not None
    context = ResultContext(
        concluded_at=claim.concluded_at,
        fingerprint=_fingerprint(claim, findings, findings_digest),
        algorithm_name="GLIA-Net",
        algorithm_version=__version__,
        weights_sha256="",
        results=settings.results,
        node_ae_title=settings.node.ae_title,
        instances_digest=digest_of_instances((row.sop_instance_uid, row.sha256) for row in instances),
        time_zone=_time_zone(settings, claim.concluded_at),
    )
    if findings is not None:
        context = replace(context, weights_sha256=findings.weights_sha256)
    destinations = {destination.name: destination.wanted for destination in settings.destinations}
    return follow(context, claim.series_instance_uid, earlier, destinations)


def _time_zone(settings: Settings, moment: datetime) -> tzinfo:
    """The set zone, or what this machine's clock showed at that moment."""
    return ZoneInfo(settings.node.time_zone) if settings.node.time_zone else moment.astimezone().tzinfo or UTC


def _fingerprint(claim: SeriesRow, findings: Findings | None, findings_digest: str) -> str:
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
        detection_threshold=findings.detection_threshold,
        exact=findings.exact,
        computation=findings.computation,
        findings=findings_digest,
    )


def _write(root: Path, claim: SeriesRow, encoded: EncodedObject, earlier: Earlier) -> ResultObject:
    relative = Path(series_folder(claim.series_instance_uid)) / str(claim.revision) / f"{encoded.role}.dcm"
    data = _as_sent_before(root, encoded, earlier) or encoded.data
    write_durable(root / relative, data)
    return ResultObject(
        role=encoded.role,
        sop_class_uid=encoded.sop_class_uid,
        sop_instance_uid=encoded.sop_instance_uid,
        series_instance_uid=encoded.series_instance_uid,
        path=str(relative),
        sha256=sha256(data).hexdigest(),
        size=len(data),
    )


def _as_sent_before(root: Path, encoded: EncodedObject, earlier: Earlier) -> bytes | None:
    """The bytes under the same UID that may have gone out: an analysis repeated as it was says nothing new.

    Only the time of its conclusion would differ, and an archive keeps what came first.
    """
    for one in (result for delivery in earlier.deliveries for result in delivery.objects):
        if one.sop_instance_uid == encoded.sop_instance_uid and (root / one.path).is_file():
            data = (root / one.path).read_bytes()
            if sha256(data).hexdigest() == one.sha256:
                return data
    return None
