"""The book of associations: who connected, what came of it, and an audit row for each."""

import threading
from collections import Counter
from datetime import datetime
from typing import cast

import structlog
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from dicom_node.clock import Clock
from dicom_node.network_library import VERIFICATION
from dicom_node.receiver.contexts import STORAGE_SOP_CLASSES
from dicom_node.receiver.registrar import AuditNote, Registrar

STORED, DUPLICATES, CONFLICTS, REFUSED, ECHOES = "stored", "duplicates", "conflicts", "refused", "echoes"

log = structlog.get_logger(__name__)


class AssociationBook:
    """Counts what each open association brought; a row goes to the audit log when it ends or is rejected."""

    def __init__(self, registrar: Registrar, clock: Clock, *, record_echoes: bool) -> None:
        self._registrar = registrar
        self._clock = clock
        self._record_echoes = record_echoes
        self._open: dict[Association, tuple[datetime, Counter[str]]] = {}
        self._lock = threading.Lock()

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call, and when."""
        return [
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_ACSE_SENT, self._answered),
            (evt.EVT_RELEASED, lambda event: self._ended(event.assoc, "released")),
            (evt.EVT_ABORTED, lambda event: self._ended(event.assoc, "aborted")),
        ]

    def count(self, association: Association, what: str) -> None:
        """One more of `what` came over the association."""
        with self._lock:
            if association in self._open:
                self._open[association][1][what] += 1

    def close(self) -> None:
        """Write the rows of associations whose end nobody told."""
        for association in list(self._open):
            self._ended(association, "ended by the receiver")

    def _accepted(self, event: evt.Event) -> None:
        association = event.assoc
        with self._lock:
            self._open[association] = (self._clock(), Counter())
        log.info("association accepted", **sender_of(association))
        for context in _refused(association):
            names = [str(syntax.name) for syntax in context.transfer_syntax]
            sop_class = UID(context.abstract_syntax or "").name
            log.warning("transfer syntaxes refused", sop_class=sop_class, offered=names)

    def _answered(self, event: evt.Event) -> None:
        """An A-ASSOCIATE answer was sent; the rejections (PS3.8 section 9.3.4) get a row."""
        answer = getattr(event, "primitive", None)
        if not isinstance(answer, A_ASSOCIATE) or not answer.result:
            return
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        sender = {
            "calling_ae_title": request.calling_ae_title,
            "address": event.assoc.requestor.address,
            "called_ae_title": request.called_ae_title,
        }
        log.warning("association rejected", reason=answer.reason_str, **sender)
        detail = {**sender, "result": answer.result_str, "reason": answer.reason_str}
        self._registrar.note(AuditNote("association-rejected", sender["calling_ae_title"], detail))

    def _ended(self, association: Association, how: str) -> None:
        with self._lock:
            since, counts = self._open.pop(association, (None, Counter()))
        if since is None:
            return
        log.info("association ended", how=how, **sender_of(association), **counts)
        if self._record_echoes or not _only_verified(association, counts):
            detail = {
                **sender_of(association),
                "since": since.isoformat(),
                "end": how,
                STORED: counts[STORED],
                **counts,
                "contexts_refused": len(_refused(association)),
            }
            note = AuditNote("association-accepted", association.requestor.ae_title, detail)
            self._registrar.note(note)
        self._registrar.flush()


def sender_of(association: Association) -> dict[str, str]:
    """Calling AE title and address of the peer."""
    requestor = association.requestor
    return {"calling_ae_title": requestor.ae_title, "address": requestor.address}


def _refused(association: Association) -> list[PresentationContext]:
    """The refused contexts whose SOP class this node takes: their transfer syntaxes were not good enough.

    Senders such as DCMTK's storescu propose every SOP class that there is; the others mean nothing.
    """
    return [one for one in association.rejected_contexts if one.abstract_syntax in STORAGE_SOP_CLASSES]


def _only_verified(association: Association, counts: "Counter[str]") -> bool:
    """Whether the association served nothing but C-ECHO."""
    proposed = {context.abstract_syntax for context in association.requestor.requested_contexts}
    return proposed == {VERIFICATION} or (counts[ECHOES] > 0 and counts.total() == counts[ECHOES])
