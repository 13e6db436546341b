"""Storage commitment over the receiver's associations: requests of senders, reports of destinations."""

from dataclasses import dataclass

import structlog
from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from dicom_node.clock import Clock
from dicom_node.commitment_messages import (
    NOT_AUTHORISED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    STORAGE_COMMITMENT,
    SUCCESS,
    InvalidMessage,
    decode_request,
)
from dicom_node.commitment_reports import answer_report
from dicom_node.disk_space import BELOW_THE_FLOOR, disk_space
from dicom_node.message_turns import MessageTurns
from dicom_node.receiver.associations import AssociationBook, sender_of
from dicom_node.receiver.commitment_check import CLASS_NOT_SUPPORTED
from dicom_node.receiver.commitment_reporter import Reporter
from dicom_node.receiver.registrar import AuditNote, Registrar
from dicom_node.settings import Settings
from storage.commitment_requests import CommitmentRequest, RequestTaken, record_request
from storage.database import Database
from storage.errors import StorageError

REQUESTS, REPORTS = "commitment_requests", "commitment_reports"  # what is counted of an association
WITHOUT_SPACE = "commitment_refused_below_free_space"

log = structlog.get_logger(__name__)

Answer = tuple[int, Dataset | None]


@dataclass(frozen=True)
class CommitmentDesk:
    """What taking requests and reports needs."""

    db: Database
    registrar: Registrar
    associations: AssociationBook
    reporter: Reporter
    settings: Settings
    clock: Clock

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call, and when."""
        return [
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_N_ACTION, self.take_request),
            (evt.EVT_N_EVENT_REPORT, self.take_report),
        ]

    def take_request(self, event: Event) -> Answer:
        """Answer an N-ACTION: Success only when the request is committed to the database, to be reported on."""
        sender = sender_of(event.assoc)
        self.associations.count(event.assoc, REQUESTS)
        try:
            return (RESOURCE_LIMITATION, None) if self._lacks_space(event.assoc) else self._take_request(event, sender)
        except InvalidMessage as error:
            return self._refuse(error.status, error.what, sender)
        except StorageError as error:
            log.error("commitment request cannot be taken", error=str(error), **sender)
            return PROCESSING_FAILURE, None

    def _take_request(self, event: Event, sender: dict[str, str]) -> Answer:
        if not self.settings.commitment.offer:
            return self._refuse(NOT_AUTHORISED, "commitment.offer is off", sender)
        transaction_uid, references = decode_request(event)
        request = CommitmentRequest(transaction_uid, instances=references, **sender)
        taken = record_request(self.db, request, self.clock())
        log.info("commitment asked", transaction=transaction_uid, instances=len(references), taken=taken, **sender)
        if taken == RequestTaken.TOO_MANY:
            return RESOURCE_LIMITATION, None
        self.reporter.asked(transaction_uid, event.assoc)
        return SUCCESS, None

    def take_report(self, event: Event) -> Answer:
        """Answer an N-EVENT-REPORT, which counts where it is from the destination that was asked."""
        self.associations.count(event.assoc, REPORTS)
        if event.context.abstract_syntax != STORAGE_COMMITMENT:
            return CLASS_NOT_SUPPORTED, None
        peer = sender_of(event.assoc)
        sender, address = peer["calling_ae_title"], peer["address"]
        names = [one.name for one in self.settings.destinations if one.ae_title == sender]
        if not names and self._lacks_space(event.assoc):  # it would only be noted
            return RESOURCE_LIMITATION, None
        has_space = disk_space(self.settings).accepting
        rules, now = self.settings.delivery, self.clock()
        status, answer = answer_report(self.db, event, sender, address, names, rules, now, note_ignored=has_space)
        if status != SUCCESS and not has_space:
            self.associations.count(event.assoc, WITHOUT_SPACE)
        return status, answer

    def _accepted(self, event: Event) -> None:
        if any(one.abstract_syntax == STORAGE_COMMITMENT for one in event.assoc.accepted_contexts):
            MessageTurns(event.assoc)  # from now on, for the reporter to speak in between

    def _lacks_space(self, association: Association) -> bool:
        """Below the floor of C-STORE. The association's audit row counts it: a row for each would take of the rest."""
        if disk_space(self.settings).accepting:
            return False
        log.warning("commitment message refused", reason=BELOW_THE_FLOOR, **sender_of(association))
        self.associations.count(association, WITHOUT_SPACE)
        return True

    def _refuse(self, status: int, reason: str, sender: dict[str, str]) -> Answer:
        detail = {**sender, "status": f"0x{status:04X}", "reason": reason}
        log.warning("commitment request refused", **detail)
        self.registrar.note(AuditNote("commitment-request-refused", sender["calling_ae_title"], detail))
        return status, None
