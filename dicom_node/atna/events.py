"""Which audit messages a row of the audit log becomes: PS3.15 A.5.3. Rows of other events become none."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from dicom_node.atna import codes
from dicom_node.atna.message import UNKNOWN, AuditMessage, Code, Participant, ParticipantObject
from dicom_node.atna.narrator import Narrator, revision_of
from storage.audit import UNREADABLE, AuditEntry
from storage.audit_subjects import delivery_roles, results_by_class

Messages = Iterator[AuditMessage]
Teller = Callable[[Narrator, AuditEntry], Messages]


def tell(narrator: Narrator, entry: AuditEntry) -> tuple[AuditMessage, ...]:
    """The messages of a row, in their order; none of an event that PS3.15 has no message for."""
    teller = TELLERS.get(entry.event)
    return tuple(teller(narrator, entry)) if teller is not None else ()


def tell_in_short(narrator: Narrator, entry: AuditEntry, error: str) -> AuditMessage:
    """That there is a row, and that no better message could be made of it."""
    return narrator.reporter.message(
        entry,
        codes.SECURITY_ALERT,
        codes.EXECUTE,
        (narrator.reporter.node("node"),),
        outcome=codes.MINOR_FAILURE,
        event_type=codes.AUDIT_RECORDING_STOPPED,
        objects=(narrator.log(alert=f"a row cannot be told in full ({error})"),),
    )


def _application(event_type: Code) -> Teller:
    def start_or_stop(narrator: Narrator, entry: AuditEntry) -> Messages:
        node = (narrator.reporter.node(entry.actor),)
        yield narrator.reporter.message(
            entry, codes.APPLICATION_ACTIVITY, codes.EXECUTE, node, event_type=event_type
        )

    return start_or_stop


def _died(narrator: Narrator, entry: AuditEntry) -> Messages:
    """A process of the node, which the supervisor starts again: a minor failure, action restarted (A.5.2)."""
    process = str(entry.detail.get("process", "process"))
    yield narrator.reporter.message(
        entry,
        codes.APPLICATION_ACTIVITY,
        codes.EXECUTE,
        (narrator.reporter.node(process),),
        outcome=codes.MINOR_FAILURE,
        why=f"process {process} died, exit status {entry.detail.get('exit_status')}",
        event_type=codes.APPLICATION_STOP,
    )


def _reception_began(narrator: Narrator, entry: AuditEntry) -> Messages:
    sender = narrator.reporter.sender(entry.actor, entry.detail.get("sender_address"))
    participants = (sender, narrator.reporter.node("receiver", role=codes.DESTINATION_ROLE))
    objects = narrator.study_and_patient(narrator.subject(entry), {})
    yield narrator.reporter.message(
        entry, codes.BEGIN_TRANSFERRING, codes.EXECUTE, participants, objects=objects
    )


def _reception_ended(narrator: Narrator, entry: AuditEntry) -> Messages:
    subject, detail = narrator.subject(entry), entry.detail
    sender = narrator.reporter.sender(str(detail.get("sender_ae_title", "")), detail.get("sender_address"))
    conflicting = bool(detail.get("conflicting"))
    yield narrator.reporter.message(
        entry,
        codes.INSTANCES_TRANSFERRED,
        codes.CREATE,
        (sender, narrator.reporter.node("receiver", role=codes.DESTINATION_ROLE)),
        outcome=codes.MINOR_FAILURE if conflicting else codes.SUCCESS,
        why="other bytes came under a known SOP Instance UID" if conflicting else "",
        objects=narrator.study_and_patient(subject, subject.received if subject else {}),
    )


def _accessed(action: str) -> Teller:
    """Images read by the network, or deleted by the rules of retention."""

    def read_or_delete(narrator: Narrator, entry: AuditEntry) -> Messages:
        subject = narrator.subject(entry)
        instances = subject.received if subject and action == codes.READ else {}
        node = (narrator.reporter.node(entry.actor, is_requestor=True),)
        objects = narrator.study_and_patient(subject, instances)
        why = str(entry.detail.get("because", ""))
        yield narrator.reporter.message(
            entry, codes.INSTANCES_ACCESSED, action, node, why=why, objects=objects
        )

    return read_or_delete


def _deliveries_began(narrator: Narrator, entry: AuditEntry) -> Messages:
    subject = narrator.subject(entry)
    unserved = entry.detail.get("unserved", {})
    for name, roles in dict(entry.detail.get("destinations", {})).items():
        if roles and name not in unserved and subject is not None:
            instances = results_by_class(
                narrator.db, subject.series_instance_uid, revision_of(entry), set(roles)
            )
            objects = narrator.study_and_patient(subject, instances)
            participants = _towards(narrator, entry.actor, name)
            yield narrator.reporter.message(
                entry, codes.BEGIN_TRANSFERRING, codes.EXECUTE, participants, objects=objects
            )


def _delivery(outcome: int) -> Teller:
    def transferred_or_not(narrator: Narrator, entry: AuditEntry) -> Messages:
        yield _transfer(narrator, entry, entry.actor, outcome, str(entry.detail.get("error", "")))

    return transferred_or_not


def _delivered(narrator: Narrator, entry: AuditEntry) -> Messages:
    """Of a destination that commits itself the row `stored` has told of the transfer; PS3.15 has no commitment."""
    if entry.detail.keys().isdisjoint(ENDED_BY_COMMITMENT):
        yield _transfer(narrator, entry, entry.actor, codes.SUCCESS)


def _commitment_failed(narrator: Narrator, entry: AuditEntry) -> Messages:
    """The row is the destination's word; a minor failure where the objects are sent again, after `delay_s`."""
    outcome = codes.MINOR_FAILURE if "delay_s" in entry.detail else codes.SERIOUS_FAILURE
    why = f"objects that the destination did not commit to: {len(entry.detail.get('failures', ()))}"
    yield _transfer(narrator, entry, "node", outcome, why)


def _transfer(narrator: Narrator, entry: AuditEntry, actor: str, outcome: int, why: str = "") -> AuditMessage:
    """Whether the receiver held the objects before is not known: R (table A.5.3.7-1)."""
    name, uid = str(entry.detail.get("destination", "")), entry.series_instance_uid or ""
    revision = revision_of(entry)
    roles = delivery_roles(narrator.db, uid, revision, name)
    instances = results_by_class(narrator.db, uid, revision, roles)
    return narrator.reporter.message(
        entry,
        codes.INSTANCES_TRANSFERRED,
        codes.READ,
        _towards(narrator, actor, name),
        outcome=outcome,
        why=why,
        objects=narrator.study_and_patient(narrator.subject(entry), instances),
    )


def _towards(narrator: Narrator, actor: str, destination: str) -> tuple[Participant, ...]:
    node = narrator.reporter.node(actor, role=codes.SOURCE_ROLE, is_requestor=True)
    return node, narrator.reporter.destination(destination)


def _peer_rejected(narrator: Narrator, entry: AuditEntry) -> Messages:
    """A minor failure: what was tried had no effect (table A.5.3.11-1). The subject is the peer's computer."""
    detail = entry.detail
    address = str(detail.get("address") or UNKNOWN)
    title = str(detail.get("calling_ae_title", ""))
    words = [f"{name}: {detail[name]}" for name in ALERT_WORDS if detail.get(name)]
    alert = "; ".join([entry.event, *words])
    subject = ParticipantObject(
        id=address,
        id_type=codes.NODE_ID,
        type_code=codes.SYSTEM_OBJECT,
        role=codes.SECURITY_RESOURCE,
        name="peer",
        details={"Alert Description": alert},
    )
    yield narrator.reporter.message(
        entry,
        codes.SECURITY_ALERT,
        codes.EXECUTE,
        (
            narrator.reporter.node("receiver"),
            Participant(title or address, is_requestor=False, ae_title=title, address=address),
        ),
        outcome=codes.MINOR_FAILURE,
        why=alert,
        event_type=codes.NODE_AUTHENTICATION,
        objects=(subject,),
    )


def _log_used(narrator: Narrator, entry: AuditEntry) -> Messages:
    """By a person; a log that does not hold is a serious failure of what was asked for."""
    problem = str(entry.detail.get("problem") or "")
    yield narrator.reporter.message(
        entry,
        codes.AUDIT_LOG_USED,
        codes.READ,
        (Participant(entry.actor, is_requestor=True, address=narrator.reporter.host),),
        outcome=codes.SERIOUS_FAILURE if problem else codes.SUCCESS,
        why=problem,
        objects=(narrator.log(),),
    )


def _log_changed(narrator: Narrator, entry: AuditEntry) -> Messages:
    """The log no longer holds what was sent, or holds what nobody can read."""
    problem = str(entry.detail.get("problem", entry.event))
    yield narrator.reporter.message(
        entry,
        codes.SECURITY_ALERT,
        codes.EXECUTE,
        (narrator.reporter.node(entry.actor),),
        outcome=codes.MAJOR_FAILURE,
        why=problem,
        event_type=codes.USE_OF_RESTRICTED_FUNCTION,
        objects=(narrator.log(alert=problem),),
    )


ENDED_BY_COMMITMENT = ("transaction_uid", "commitment")  # in the detail of `delivered` where it had been `stored`
ALERT_WORDS = (
    "result",
    "reason",
    "why",
    "certificate_subject",
    "since",
    "connections_refused",
    "rejections_without_a_row",
)
TELLERS: Mapping[str, Teller] = MappingProxyType(
    {
        "node-started": _application(codes.APPLICATION_START),
        "node-stopped": _application(codes.APPLICATION_STOP),
        "process-died": _died,
        "series-opened": _reception_began,
        "series-reopened": _reception_began,
        "series-complete": _reception_ended,
        "series-analysed": _accessed(codes.READ),
        "images-deleted": _accessed(codes.DELETE),
        "results-deleted": _accessed(codes.DELETE),
        "results-published": _deliveries_began,
        "stored": _delivery(codes.SUCCESS),
        "delivered": _delivered,
        "delivered-without-claim": _delivery(codes.SUCCESS),
        "commitment-failed": _commitment_failed,
        "delivery-postponed": _delivery(codes.MINOR_FAILURE),
        "delivery-failed": _delivery(codes.SERIOUS_FAILURE),
        "association-rejected": _peer_rejected,
        "tls-refused": _peer_rejected,
        "address-shut-out": _peer_rejected,
        "audit-exported": _log_used,
        "audit-head-signed": _log_used,
        "audit-verified": _log_used,
        "audit-log-changed": _log_changed,
        UNREADABLE: _log_changed,
    }
)
