"""The book of associations: who connected, what came of it, and an audit row for each."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from weakref import WeakKeyDictionary

import structlog
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from dicom_node.clock import Clock
from dicom_node.network_library import VERIFICATION
from dicom_node.pdu_length import SMALLEST_PDU_OF_ANSWERS, bound_pdus
from dicom_node.receiver.contexts import STORAGE_SOP_CLASSES
from dicom_node.receiver.gate import Gate
from dicom_node.receiver.registrar import AuditNote, Registrar
from dicom_node.remote_settings import RemoteSettings
from dicom_node.remotes import Caller, plain_address, why_refused
from dicom_node.tls import SecuredPeer, secured_peer

STORED, DUPLICATES, CONFLICTS, REFUSED, ECHOES = "stored", "duplicates", "conflicts", "refused", "echoes"

# PS3.8 section 9.3.4: result, source, reasons
_PERMANENT, _BY_THE_USER, _CALLING_AE_TITLE, _NO_REASON = 1, 1, 3, 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Welcome:
    """Who may come in, and the gate that those who may not are counted at."""

    calling_ae_titles: Sequence[str]
    remotes: Sequence[RemoteSettings]
    gate: Gate


class AssociationBook:
    """Says who may come in, and counts what each open association brought.

    A row goes to the audit log when an association ends or is rejected.
    """

    def __init__(self, registrar: Registrar, clock: Clock, welcome: Welcome, *, record_echoes: bool) -> None:
        self._registrar = registrar
        self._clock = clock
        self._welcome = welcome
        self._record_echoes = record_echoes
        self._certificates: WeakKeyDictionary[Association, SecuredPeer] = WeakKeyDictionary()
        self._objections: WeakKeyDictionary[Association, str] = WeakKeyDictionary()
        self._open: dict[Association, tuple[datetime, Counter[str]]] = {}
        self._lock = threading.Lock()

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call, and when."""
        return [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_ACSE_SENT, self._answered),
            (evt.EVT_RELEASED, lambda event: self._ended(event.assoc, "released")),
            (evt.EVT_ABORTED, lambda event: self._ended(event.assoc, "aborted")),
        ]

    def count(self, association: Association, what: str) -> int:
        """One more of `what` came over the association; how many it were by now, 0 where it has ended."""
        with self._lock:
            if association not in self._open:
                return 0
            self._open[association][1][what] += 1
            return self._open[association][1][what]

    def close(self) -> None:
        """Write the rows of associations whose end nobody told."""
        for association in list(self._open):
            self._ended(association, "ended by the receiver")

    def look_around(self) -> None:
        """Write the rows of associations whose thread has ended without a word; to be called now and then."""
        for association in list(self._open):
            if not association.is_alive():
                self._ended(association, "lost")

    def _opened(self, event: evt.Event) -> None:
        connection = event.assoc.dul.socket
        peer = None if connection is None else secured_peer(connection.socket)
        if peer is not None:
            self._certificates[event.assoc] = peer

    def _requested(self, event: evt.Event) -> None:
        """Before anything is negotiated; which of title, address and certificate is wrong the caller is not told.

        A handler's error the library would only log, and let the caller in.
        """
        association, reason = event.assoc, _CALLING_AE_TITLE
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        try:
            certificate = self._certificates.get(association)
            caller = Caller(str(request.calling_ae_title), association.requestor.address, certificate)
            objection = why_refused(caller, self._welcome.calling_ae_titles, self._welcome.remotes)
            if objection is None:
                objection, reason = bound_pdus(request, SMALLEST_PDU_OF_ANSWERS) or None, _NO_REASON
        except Exception as error:
            log.exception("a caller cannot be judged; it is rejected")
            objection = f"it cannot be judged ({type(error).__name__})"
        if objection is not None:
            self._objections[association] = objection
            association.acse.send_reject(_PERMANENT, _BY_THE_USER, reason)
            association.kill()

    def _accepted(self, event: evt.Event) -> None:
        association = event.assoc
        self._welcome.gate.accepted(association.requestor.address)
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
        why = {"why": self._objections[event.assoc]} if event.assoc in self._objections else {}
        if _is_own_question(event.assoc, request):
            return
        log.warning("association rejected", reason=answer.reason_str, **sender, **why)
        gate = self._welcome.gate
        told = gate.rejected if answer.result == _PERMANENT else gate.deferred
        if told(sender["address"]):
            said = {"result": answer.result_str, "reason": answer.reason_str}
            detail = {**sender, **said, **why, **self._secured_by(event.assoc)}
            self._registrar.note(AuditNote("association-rejected", sender["calling_ae_title"], detail))

    def _secured_by(self, association: Association) -> dict[str, str]:
        """What is known of a peer that came over TLS."""
        peer = self._certificates.get(association)
        return {} if peer is None else {"certificate_subject": peer.subject, "tls": peer.version}

    def _ended(self, association: Association, how: str) -> None:
        with self._lock:
            since, counts = self._open.pop(association, (None, Counter()))
        if since is None:
            return
        log.info("association ended", how=how, **sender_of(association), **counts)
        if self._record_echoes or not _only_verified(association, counts):
            detail = {
                **sender_of(association),
                **self._secured_by(association),
                "since": since.isoformat(),
                "end": how,
                STORED: counts[STORED],
                **counts,
                "contexts_refused": len(_refused(association)),
            }
            note = AuditNote("association-accepted", association.requestor.ae_title, detail)
            self._registrar.note(note)
        self._registrar.flush()


def _is_own_question(association: Association, request: A_ASSOCIATE) -> bool:
    """Whether this machine asks whether the node answers (`dicom-node status`); the rejection is the answer.

    A monitor asks every minute: rows of it would bury those of strangers, and shut out who else is at this address.
    """
    own = association.ae.ae_title
    if {request.calling_ae_title, request.called_ae_title} != {own}:
        return False
    address = plain_address(association.requestor.address)
    here = address.is_loopback or association.requestor.address == association.acceptor.address
    proposed = {context.abstract_syntax for context in association.requestor.requested_contexts}
    return here and proposed == {VERIFICATION}


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
