"""C-STORE: an instance is checked, made durable in the spool and handed to the registrar."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import structlog
from pydicom import Dataset
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from dicom_node.clock import Clock
from dicom_node.disk_space import BELOW_THE_FLOOR, DiskSpace
from dicom_node.errors import NodeError
from dicom_node.identifiers import is_valid_uid
from dicom_node.instance_identity import InstanceIdentity, UnreadableDataSet, identify_instance
from dicom_node.receiver.associations import (
    CONFLICTS,
    DUPLICATES,
    REFUSED,
    STORED,
    AssociationBook,
    sender_of,
)
from dicom_node.receiver.part10 import encode_head
from dicom_node.receiver.registrar import AuditNote, Registrar, RegistrarBehind
from storage.durable import free_bytes
from storage.errors import StorageError
from storage.reception import ReceivedInstance
from storage.spool import Arrival, Spool, StoredInstance

# PS3.4 table B.2-1 and PS3.7 annex C
SUCCESS = 0x0000
SOP_CLASS_NOT_SUPPORTED = 0x0122
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

WITHOUT_SPACE = "refused_below_free_space"

_ERROR_COMMENT_LENGTH = 64  # VR LO
_COUNTED_AS = {Arrival.NEW: STORED, Arrival.DUPLICATE: DUPLICATES, Arrival.CONFLICT: CONFLICTS}

log = structlog.get_logger(__name__)


class InstanceRefused(NodeError):
    """An instance that is not taken, and the C-STORE status that says so."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what, where="C-STORE", retry_helps=status == OUT_OF_RESOURCES)


@dataclass(frozen=True)
class Intake:
    """What receiving an instance needs."""

    spool: Spool
    spool_folder: Path
    registrar: Registrar
    associations: AssociationBook
    clock: Clock
    minimum_free_bytes: int
    announced_count_tags: tuple[int, ...]


def store_instance(event: Event, intake: Intake) -> int | Dataset:
    """Answer a C-STORE request: Success only when the instance is on the disk for good.

    The data set is neither decoded nor encoded again. Returns the status, with an error comment (PS3.7 annex
    C) where it is a failure.
    """
    try:
        stored = _store(event, intake)
    except InstanceRefused as refusal:
        _report(event, intake, refusal)
        return _failure(refusal)
    intake.associations.count(event.assoc, _COUNTED_AS[stored.arrival])
    return SUCCESS


def _store(event: Event, intake: Intake) -> StoredInstance:
    data_set = event.encoded_dataset(include_meta=False)
    identity = _identify(event, data_set, intake)
    _check_against_command(event, identity)
    _check_free_space(intake)
    try:
        with intake.registrar.place() as place:
            stored = _spool(event, identity, data_set, intake)
            place.register(_received(event, identity, stored, intake))
    except RegistrarBehind as error:
        raise InstanceRefused(OUT_OF_RESOURCES, error.what) from error
    return stored


def _identify(event: Event, data_set: bytes, intake: Intake) -> InstanceIdentity:
    try:
        return identify_instance(data_set, event.context.transfer_syntax, intake.announced_count_tags)
    except UnreadableDataSet as error:
        raise InstanceRefused(CANNOT_UNDERSTAND, error.what) from error


def _check_against_command(event: Event, identity: InstanceIdentity) -> None:
    """PS3.7 section 9.1.1.1: class and instance of the command are those of the data set and its context."""
    request = cast(C_STORE, event.request)
    if request.AffectedSOPClassUID != event.context.abstract_syntax:
        raise InstanceRefused(SOP_CLASS_NOT_SUPPORTED, "command's SOP class is not its context's")
    if identity.sop_class_uid != request.AffectedSOPClassUID:
        raise InstanceRefused(DOES_NOT_MATCH, "SOPClassUID differs from the command's")
    if identity.sop_instance_uid != request.AffectedSOPInstanceUID:
        raise InstanceRefused(DOES_NOT_MATCH, "SOPInstanceUID differs from the command's")


def _check_free_space(intake: Intake) -> None:
    if not DiskSpace(free_bytes(intake.spool_folder), intake.minimum_free_bytes).accepting:
        raise InstanceRefused(OUT_OF_RESOURCES, BELOW_THE_FLOOR)


def _spool(event: Event, identity: InstanceIdentity, data_set: bytes, intake: Intake) -> StoredInstance:
    head = encode_head(
        identity.sop_class_uid,
        identity.sop_instance_uid,
        event.context.transfer_syntax,
        event.assoc.requestor.ae_title,
    )
    try:
        return intake.spool.store(identity.series_instance_uid, identity.sop_instance_uid, head, data_set)
    except StorageError as error:
        log.error("instance cannot be written", error=str(error))
        raise InstanceRefused(OUT_OF_RESOURCES, "the instance cannot be written to the disk") from error


def _received(
    event: Event, identity: InstanceIdentity, stored: StoredInstance, intake: Intake
) -> ReceivedInstance:
    return ReceivedInstance(
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        transfer_syntax_uid=str(event.context.transfer_syntax),
        path=stored.path,
        sha256=stored.sha256,
        size=stored.size,
        arrival=stored.arrival,
        received_at=intake.clock(),
        announced_instances=identity.announced_instances,
        **sender_of(event.assoc),
    )


def _report(event: Event, intake: Intake, refusal: InstanceRefused) -> None:
    """Log and audit a refused instance; what the command gives as its UID may be anything, a name too."""
    claimed = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
    intake.associations.count(event.assoc, REFUSED)
    detail = {
        **sender_of(event.assoc),
        "status": f"0x{refusal.status:04X}",
        "reason": refusal.what,
        "affected_sop_instance_uid": claimed if is_valid_uid(claimed) else "no valid UID",
    }
    log.warning("instance refused", **detail)
    if refusal.what == BELOW_THE_FLOOR and intake.associations.count(event.assoc, WITHOUT_SPACE) > 1:
        return  # the association's audit row counts them: a row for each would take of what is left
    intake.registrar.note(AuditNote("instance-refused", detail["calling_ae_title"], detail))


def _failure(refusal: InstanceRefused) -> Dataset:
    answer = Dataset()
    answer.Status = refusal.status
    answer.ErrorComment = refusal.what[:_ERROR_COMMENT_LENGTH]
    return answer
