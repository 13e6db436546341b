"""N-EVENT-REPORT: a requester is told what this node commits itself to (PS3.4 section J.3.3)."""

import threading
from io import BytesIO
from typing import cast

from pydicom import Dataset
from pynetdicom import build_role, evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode

from dicom_node.association import Peer, associate, describe, wait_while_established
from dicom_node.commitment_messages import (
    PROPOSED_CONTEXTS,
    STORAGE_COMMITMENT,
    WELL_KNOWN_INSTANCE,
    Report,
    encode_report,
)
from dicom_node.errors import NodeError
from dicom_node.message_turns import MessageTurns


class ReportRefused(NodeError):
    """The requester did not take the report."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"the storage commitment report was not taken: {what}",
            where=where,
            retry_helps=True,
            advice="look at the requester's log",
        )


def send_report_back(turns: MessageTurns, report: Report, message_id: int, timeout_s: float) -> None:
    """Send a report over the association that the request came over. Raises ReportRefused.

    pynetdicom's own way would take the requester's next message, whatever it is, for the answer, and end the
    association; this one leaves the association to go on.
    """
    association = turns.association
    where = f"{association.requestor.ae_title} at {association.requestor.address}"
    answers: list[int | None] = []
    answered = threading.Event()

    def listen(event: evt.Event) -> None:
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            command = event.message.command_set
            if command.get("MessageIDBeingRespondedTo") == message_id:
                answers.append(command.get("Status"))
                answered.set()

    association.bind(evt.EVT_DIMSE_RECV, listen)
    try:
        with turns.turn():
            _send(turns, report, message_id)
        wait_while_established(association, answered, timeout_s)
    finally:
        association.unbind(evt.EVT_DIMSE_RECV, listen)
    _check(where, answers[0] if answers else None)


def send_report(peer: Peer, own_ae_title: str, report: Report, message_id: int) -> None:
    """Send a report over an association of its own, in which this node is the SCP (PS3.7 annex D.3.3.4).

    Raises:
        AssociationFailed: the association could not be made.
        ReportRefused: the peer answered no, or not at all.
    """
    event_type, information = encode_report(report)
    role = build_role(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    with associate(peer, own_ae_title, PROPOSED_CONTEXTS, roles=[role]) as association:
        try:
            answer, _ = association.send_n_event_report(
                information, event_type, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, message_id
            )
        except RuntimeError:  # pynetdicom's word for an association that has ended
            answer = Dataset()
        _check(describe(peer), answer.get("Status"))


def _send(turns: MessageTurns, report: Report, message_id: int) -> None:
    association = turns.association
    contexts = [one for one in association.accepted_contexts if one.abstract_syntax == STORAGE_COMMITMENT]
    if not association.is_established or not contexts:
        raise ReportRefused(association.requestor.ae_title, "the association ended")
    syntax = contexts[0].transfer_syntax[0]
    event_type, information = encode_report(report)
    request = N_EVENT_REPORT()
    request.MessageID = message_id
    request.AffectedSOPClassUID = STORAGE_COMMITMENT
    request.AffectedSOPInstanceUID = WELL_KNOWN_INSTANCE
    request.EventTypeID = event_type
    encoded = encode(information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    request.EventInformation = BytesIO(encoded or b"")
    association.dimse.send_msg(request, cast(int, contexts[0].context_id))


def _check(where: str, status: int | None) -> None:
    if status is None:
        raise ReportRefused(where, "no answer")
    if status != 0:
        raise ReportRefused(where, f"status 0x{status:04X}")
