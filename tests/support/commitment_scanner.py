"""A scanner that asks the node for storage commitment and takes its reports, and what the audit log has of it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from storage.audit import AuditEntry, entries
from tests.support.committing_archive import WELL_KNOWN, Instance, report_of
from tests.support.dicom_network import DEADLINE_S, Node, make_ct
from tests.support.outbox import SERIES
from tests.support.waiting import wait_until


@dataclass
class Scanner:
    """A peer that sends, asks, and takes reports: over the association that asked, or as a server on `port`."""

    node: Node
    port: int = 0
    answer: int = 0x0000
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def take(self, event: evt.Event) -> tuple[int, None]:
        assert event.request.AffectedSOPInstanceUID == WELL_KNOWN
        self.reports.append((event.event_type, event.event_information))
        self.came.set()
        return self.answer, None

    @contextmanager
    def association(self, calling: str = "CT1", syntax: str = ExplicitVRLittleEndian) -> Iterator[Association]:
        """With contexts for CT and for storage commitment."""
        entity = AE(ae_title=calling)
        entity.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian])
        entity.add_requested_context(StorageCommitmentPushModel, [syntax])
        association = entity.associate(
            "127.0.0.1",
            self.node.receiver.port,
            ae_title="GLIANET",
            evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)],
        )
        assert association.is_established
        try:
            yield association
        finally:
            association.release()

    def report(self, number: int = 1) -> tuple[int, dict[str, str], dict[str, int]]:
        """The `number`-th report, once it has come: event type, and by UID SOP class and failure reason."""
        wait_until(lambda: len(self.reports) >= number, DEADLINE_S, "the report comes")
        kind, said = self.reports[number - 1]
        kept, failed = said.get("ReferencedSOPSequence", []), said.get("FailedSOPSequence", [])
        return (
            kind,
            {str(one.ReferencedSOPInstanceUID): str(one.ReferencedSOPClassUID) for one in kept},
            {str(one.ReferencedSOPInstanceUID): int(one.FailureReason) for one in failed},
        )


def ask(
    association: Association, instances: Sequence[Instance], transaction_uid: str = "1.2.3", **changes: object
) -> int:
    """N-ACTION; the status that was answered."""
    asked: dict[str, object] = {"action_type": 1, "instance_uid": WELL_KNOWN, **changes}
    answer, _ = association.send_n_action(
        report_of(transaction_uid, instances), class_uid=StorageCommitmentPushModel, **asked
    )  # type: ignore[arg-type]
    return int(answer.Status)


def ct(number: int) -> Instance:
    return CTImageStorage, f"{SERIES}.{number}"


def send(association: Association, *numbers: int, value: int = 0) -> None:
    for number in numbers:
        assert association.send_c_store(make_ct(number, value=value)).Status == 0x0000


@contextmanager
def listening(scanner: Scanner, port: int) -> Iterator[None]:
    """The scanner as a server that takes reports."""
    entity = AE(ae_title="CT1")
    entity.require_called_aet = True
    context = build_context(StorageCommitmentPushModel, [ImplicitVRLittleEndian])
    context.scu_role, context.scp_role = True, True
    server = entity.start_server(
        ("127.0.0.1", port), block=False, contexts=[context], evt_handlers=[(evt.EVT_N_EVENT_REPORT, scanner.take)]
    )
    try:
        yield
    finally:
        server.shutdown()


def events(node: Node, event: str) -> list[AuditEntry]:
    return list(entries(node.db, event=event))


def ended(node: Node, event: str = "commitment-reported") -> AuditEntry:
    """The audit row that ends the only request."""
    rows = wait_until(lambda: events(node, event), DEADLINE_S, event)
    return rows[0]
