"""Delivery: the objects of one outbox row go to one destination, over one association."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.association import Association

from dicom_node.association import (
    Context,
    Peer,
    accepted_contexts,
    as_failure,
    associate,
    describe,
    describe_refusals,
)
from dicom_node.clock import Clock
from dicom_node.commitment import commit_delivery
from dicom_node.destination_settings import DestinationSettings, TransferSyntax
from dicom_node.errors import NodeError
from dicom_node.identifiers import random_uid
from dicom_node.network_library import VERIFICATION
from dicom_node.retry_delay import retry_delay
from dicom_node.settings import Settings
from dicom_node.store_file import StoreAnswer, store_file
from dicom_node.transcoding import transcode
from storage.database import Database
from storage.durable import TEMPORARY_SUFFIX
from storage.errors import LostClaim, is_of_the_disk
from storage.jobs import ResultObject
from storage.outbox import DeliveryRow, claim_delivery, delivered, postpone_delivery, stored
from storage.states import DeliveryState

# Statuses that the same bytes would get again (PS3.4 table B.2-1, PS3.7 annex C). 0xCxxx is not among them:
# archives use that range for troubles of their own, which pass.
_HOPELESS = frozenset({0x0117, *range(0xA900, 0xAA00)})

log = structlog.get_logger(__name__)


class DeliveryFailed(NodeError):
    """The destination did not take an object, or an object cannot be sent."""


@dataclass(frozen=True)
class EchoResult:
    """Whether a peer answered a C-ECHO, and what was seen."""

    ok: bool
    detail: str


def deliver_next(
    db: Database,
    destination: DestinationSettings,
    settings: Settings,
    results_root: Path,
    owner: str,
    clock: Clock,
    new_uid: Callable[[], str] = random_uid,
) -> bool:
    """Send the objects of the next due outbox row of a destination; whether there was one.

    What fails is tried again later, with the same objects under the same UIDs; an object that arrived the
    first time is a duplicate to the archive. A row whose objects have arrived is asked about, where the
    destination offers storage commitment, under a transaction UID from `new_uid`.
    """
    lease = timedelta(seconds=settings.delivery.lease_s)
    claim = claim_delivery(db, destination.name, owner, clock(), lease)
    if claim is None:
        return False
    try:
        if claim.state == DeliveryState.STORED:
            commit_delivery(db, claim, destination, settings, results_root, clock, new_uid)
        else:
            _deliver(db, claim, destination, settings, results_root, clock)
    except LostClaim:
        log.info("the delivery has moved on meanwhile", series=claim.series_instance_uid)
    return True


def store_objects(
    peer: Peer,
    own_ae_title: str,
    objects: Sequence[ResultObject],
    results_root: Path,
    transfer_syntax: TransferSyntax = "explicit-little-endian",
) -> list[dict[str, str]]:
    """C-STORE every object in a transfer syntax that the peer is to get; what was answered to each.

    Raises:
        AssociationFailed: the association could not be made.
        DeliveryFailed: an object is damaged, its context was refused, or the answer was a failure.
    """
    files = [_check_file(results_root / one.path, one) for one in objects]
    with _in_transfer_syntax(files, transfer_syntax, results_root) as ready:
        return _store_files(peer, own_ae_title, objects, ready)


def _store_files(
    peer: Peer, own_ae_title: str, objects: Sequence[ResultObject], files: Sequence[Path]
) -> list[dict[str, str]]:
    """Those whose context is accepted go first: one that is refused must not keep the others from the radiologist."""
    wanted = [_context(file, one) for file, one in zip(files, objects, strict=True)]
    statuses: list[dict[str, str]] = []
    failed: list[DeliveryFailed] = []
    with associate(peer, own_ae_title, list(dict.fromkeys(wanted))) as association:
        accepted = accepted_contexts(association)
        for number, (file, one) in enumerate(zip(files, objects, strict=True)):
            if wanted[number] in accepted:
                answer = _store(association, file, number)
                failed += [] if answer.stored else [_failure(peer, one, answer)]
                if answer.status is None:
                    break
                statuses.append(_describe_answer(one, answer))
        if failed:
            raise failed[0]
        _check_accepted(peer, association, wanted)
    return statuses


def echo(peer: Peer, own_ae_title: str) -> EchoResult:
    """C-ECHO to a peer (PS3.4 annex A)."""
    try:
        with associate(peer, own_ae_title, [(VERIFICATION, ImplicitVRLittleEndian)]) as association:
            answer = association.send_c_echo()
    except NodeError as error:
        return EchoResult(False, str(error))
    if answer.get("Status") == 0:
        return EchoResult(True, f"{describe(peer)} answered")
    status = f"status 0x{answer.Status:04X}" if "Status" in answer else "no answer"
    return EchoResult(False, f"{describe(peer)}: C-ECHO got {status}")


def _deliver(
    db: Database,
    claim: DeliveryRow,
    destination: DestinationSettings,
    settings: Settings,
    results_root: Path,
    clock: Clock,
) -> None:
    where = {"destination": destination.name, "series": claim.series_instance_uid}
    try:
        own, syntax = settings.node.ae_title, destination.transfer_syntax
        statuses = store_objects(destination, own, claim.outstanding, results_root, syntax)
    except Exception as error:  # noqa: BLE001 - no peer may end the process that serves the others
        failure = as_failure(destination, error)
        rules = settings.delivery
        delay = retry_delay(claim.attempts, rules.first_delay_s, rules.maximum_delay_s)
        tries = rules.maximum_attempts if failure.retry_helps else min(claim.attempts, rules.maximum_attempts)
        counts = not is_of_the_disk(error)
        log.warning("delivery failed", error=str(failure), attempt=claim.attempts, of=tries, counts=counts, **where)
        postpone_delivery(db, claim, str(failure), delay, tries, clock(), counts=counts)
        return
    log.info("delivered", objects=len(statuses), statuses=[one["status"] for one in statuses], **where)
    done = stored if destination.storage_commitment else delivered
    done(db, claim, statuses, clock())


def _check_file(file: Path, wanted: ResultObject) -> Path:
    """The bytes on the disk are still those that were checked when they were encoded."""
    try:
        digest = sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise _damaged(file, f"cannot be read ({error.strerror})") from error
    if digest != wanted.sha256:
        raise _damaged(file, "is not what was written (SHA-256 differs)")
    return file


@contextmanager
def _in_transfer_syntax(
    files: Sequence[Path], transfer_syntax: TransferSyntax, results_root: Path
) -> Iterator[Sequence[Path]]:
    """`files`, or copies for as long as the association needs them, beside the results, which are as private."""
    if transfer_syntax == "explicit-little-endian":
        yield files
        return
    with ExitStack() as stack:
        try:
            temporary = TemporaryDirectory(prefix="transcoded-", suffix=TEMPORARY_SUFFIX, dir=results_root)
            folder = Path(stack.enter_context(temporary))
            copies = [_transcoded(file, transfer_syntax, folder) for file in files]
        except (OSError, ValueError, MemoryError, RuntimeError) as error:
            what = f"the results cannot be brought into the transfer syntax {transfer_syntax}: {error!r}"
            where = str(results_root)
            raise DeliveryFailed(what, where=where, retry_helps=True, advice="look at the disk space") from error
        yield copies


def _transcoded(file: Path, transfer_syntax: TransferSyntax, folder: Path) -> Path:
    copy = folder / file.name
    copy.write_bytes(transcode(file.read_bytes(), transfer_syntax))
    return copy


def _damaged(file: Path, what: str) -> DeliveryFailed:
    advice = "check the disk; have the series analysed anew"
    return DeliveryFailed(f"the object {what}", where=str(file), advice=advice)


def _context(file: Path, wanted: ResultObject) -> Context:
    return wanted.sop_class_uid, str(read_file_meta_info(file).TransferSyntaxUID)


def _check_accepted(peer: Peer, association: Association, contexts: Sequence[Context]) -> None:
    if not accepted_contexts(association) >= set(contexts):
        raise DeliveryFailed(
            f"refused: {'; '.join(describe_refusals(association))}",
            where=describe(peer),
            retry_helps=True,
            advice="have the destination accept these SOP classes",
        )


def _store(association: Association, file: Path, number: int) -> StoreAnswer:
    try:
        return store_file(association, file, number)
    except OSError as error:
        raise _damaged(file, f"cannot be read ({error.strerror})") from error


def _failure(peer: Peer, sent: ResultObject, answer: StoreAnswer) -> DeliveryFailed:
    hopeless = answer.status is not None and answer.status in _HOPELESS
    return DeliveryFailed(
        f"{sent.role} {sent.sop_instance_uid} was not stored: status {answer.code}, {answer.meaning}",
        where=describe(peer),
        retry_helps=not hopeless,
        advice="report this to the node's makers" if hopeless else "look at the destination's log",
    )


def _describe_answer(sent: ResultObject, answer: StoreAnswer) -> dict[str, str]:
    described = {"role": sent.role, "sop_instance_uid": sent.sop_instance_uid, "status": answer.code}
    return described if answer.status == 0 else {**described, "meaning": answer.meaning}
