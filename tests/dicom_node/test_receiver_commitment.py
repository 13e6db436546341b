"""The receiver and storage commitment: reports of destinations, and requests of scanners, over real associations."""

import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from weakref import WeakSet

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from dicom_node.delivery import deliver_next
from dicom_node.receiver import commitment_reporter
from dicom_node.settings import Settings
from storage.audit import AuditEntry, entries, verify
from storage.commitment_requests import request_overview
from storage.outbox import deliveries
from storage.series import get_series
from storage.states import DeliveryState, SeriesState
from tests.support.committing_archive import WELL_KNOWN, Instance, committing_archive, report_of
from tests.support.dicom_network import DEADLINE_S, STUDY, Node, eventually, make_ct, running_node, write_ct
from tests.support.outbox import filled_outbox
from tests.support.ports import free_port
from tests.support.waiting import wait_until

SERIES = f"{STUDY}.1"


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


def events(node: Node, event: str) -> list[AuditEntry]:
    return list(entries(node.db, event=event))


def told_in_vain(node: Node) -> str:
    return "; ".join(row.detail["error"] for row in events(node, "commitment-report-postponed"))


def ended(node: Node, event: str = "commitment-reported") -> AuditEntry:
    """The audit row that ends the only request."""
    rows = wait_until(lambda: events(node, event), DEADLINE_S, event)
    return rows[0]


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


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_lies_here_is_committed_to_over_the_association_that_asks(tmp_path: Path, syntax: str) -> None:
    """Though it was sent a moment ago: rows that are still to be written are waited for."""
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association(syntax=syntax) as association:
            send(association, 1, 2, 3)
            assert ask(association, [ct(1), ct(2), ct(3)]) == 0x0000
            kind, kept, failed = scanner.report()
        assert (kind, failed) == (1, {})
        assert kept == {uid: sop_class for sop_class, uid in (ct(1), ct(2), ct(3))}
        assert str(scanner.reports[0][1].TransactionUID) == "1.2.3"
        told = ended(node)
        assert told.series_instance_uid == SERIES
        assert told.detail["over"] == "the association that asked"
        assert (told.detail["committed"], told.detail["failed"]) == (3, 0)
        (asked,) = events(node, "commitment-asked")
        assert (asked.actor, asked.detail["instances"]) == ("CT1", 3)
        assert verify(node.db).ok


def test_nothing_is_kept_of_an_association_that_has_ended(tmp_path: Path) -> None:
    """But of the newest, until the next comes: what is kept of each would add up over months."""
    seen: WeakSet[Association] = WeakSet()

    def left() -> int:
        gc.collect()
        return len(seen)

    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        for number in range(1, 5):
            with scanner.association() as association:
                seen.update(node.receiver.associations)
                assert ask(association, [ct(1)], f"1.2.{number}") == 0x0000
                scanner.report(number)
            assert left() > 0
        node.wait_until_written()
        assert eventually(lambda: left() <= 1)


def test_each_instance_that_is_not_safe_here_fails_for_its_reason(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        files = [write_ct(tmp_path / "sent", make_ct(number)) for number in range(1, 7)]
        node.send(*files, calling="CT1")
        node.send(write_ct(tmp_path / "other", make_ct(2, value=9)), calling="CT1")  # other bytes, same UID
        assert node.receiver.registrar.wait_until_written(DEADLINE_S)
        spooled = {path.name: path for path in node.spool.rglob("*.dcm")}
        changed, cut, gone = (spooled[name_of(number)] for number in (3, 4, 5))
        flip_last_byte(changed)
        cut.write_bytes(cut.read_bytes()[:-1])
        gone.unlink()
        instances = [ct(1), ct(2), ct(3), ct(4), ct(5), (MRImageStorage, f"{SERIES}.6"), ct(7), (MRImageStorage, "1.9")]
        with scanner.association() as association:
            assert ask(association, instances) == 0x0000
            kind, kept, failed = scanner.report()
    assert kind == 2
    assert list(kept) == [f"{SERIES}.1"]
    assert failed == {
        f"{SERIES}.2": 0x0110,  # in conflict
        f"{SERIES}.3": 0x0110,  # a byte has changed on the disk
        f"{SERIES}.4": 0x0110,  # its file is too short
        f"{SERIES}.5": 0x0112,  # its file is gone
        f"{SERIES}.6": 0x0119,  # it is no MR
        f"{SERIES}.7": 0x0112,  # never received
        "1.9": 0x0122,  # MR is not taken here
    }


def name_of(number: int) -> str:
    """Of an instance's file in the spool, as storage/spool.py states it."""
    return sha256(f"{SERIES}.{number}".encode()).hexdigest()[:32] + ".dcm"


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_scanner_that_goes_on_sending_is_told_over_a_new_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take a report that comes in between for the answer to its C-STORE."""
    port, sent_more = free_port(), threading.Event()
    judge = commitment_reporter.judge_instances

    def judge_later(*arguments: object) -> object:
        assert sent_more.wait(DEADLINE_S)
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(commitment_reporter, "judge_instances", judge_later)
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    with running_node(tmp_path, commitment={"requesters": [f"CT1@127.0.0.1:{port}"]}) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association() as association:
                send(association, 1)
                assert ask(association, [ct(1)]) == 0x0000
                send(association, 2)
                sent_more.set()
                send(association, 3)
            kind, kept, _ = scanner.report()
            told = ended(node)
    assert (kind, list(kept)) == (1, [f"{SERIES}.1"])
    assert told.detail["over"] == f"a new association to 127.0.0.1:{port}"


def test_a_destination_that_asks_is_told_at_its_address(tmp_path: Path) -> None:
    port = free_port()
    pacs = {"name": "pacs", "ae_title": "CT1", "host": "127.0.0.1", "port": port}
    with running_node(tmp_path, destination=[pacs]) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association() as association:
                assert ask(association, [ct(1)]) == 0x0000
            assert scanner.report()[2] == {f"{SERIES}.1": 0x0112}
            ended(node)


def test_a_report_is_tried_again_until_the_requester_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    port = free_port()
    tables: dict[str, dict[str, object]] = {
        "commitment": {"requesters": [f"CT1@127.0.0.1:{port}"]},
        "delivery": {"first_delay_s": 0.05, "maximum_delay_s": 0.05},
    }
    with running_node(tmp_path, **tables) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            send(association, 1)
            ask(association, [ct(1)])
        ended(node, "commitment-report-postponed")  # nobody listens
        with listening(scanner, port):
            scanner.report()
            wait_until(lambda: "0x0110" in told_in_vain(node), DEADLINE_S, "the refusal is noted")
            scanner.answer = 0x0000
            ended(node)
        assert "status 0x0110" in told_in_vain(node)
        assert request_overview(node.db) == []


def test_a_requester_without_an_address_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    rules = {"first_delay_s": 0.01, "maximum_delay_s": 0.01, "maximum_attempts": 2}
    with running_node(tmp_path, delivery=rules) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            ask(association, [ct(1)])
            scanner.report()  # which the scanner refuses
        failed = ended(node, "commitment-report-failed")
    assert "commitment.requesters" in failed.detail["error"]


def test_a_requester_that_does_not_answer_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three requests of it, one is tried before the other requester's turn comes."""
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    asked, tried = threading.Event(), []
    due, peer_of = commitment_reporter.due_requests, commitment_reporter.Reporter._find_peer

    def due_when_all_asked(*arguments: object) -> object:
        return due(*arguments) if asked.is_set() else []  # type: ignore[arg-type]

    def note_peer(self: commitment_reporter.Reporter, ae_title: str) -> object:
        tried.append(ae_title)
        return peer_of(self, ae_title)

    monkeypatch.setattr(commitment_reporter, "due_requests", due_when_all_asked)
    monkeypatch.setattr(commitment_reporter.Reporter, "_find_peer", note_peer)
    requesters = [f"DEAD@127.0.0.1:{free_port()}", f"CT1@127.0.0.1:{(port := free_port())}"]
    with running_node(tmp_path, commitment={"requesters": requesters}) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association("DEAD") as association:
                for number in (1, 2, 3):
                    ask(association, [ct(1)], f"1.2.{number}")
            with scanner.association("CT1") as association:
                ask(association, [ct(1)], "1.2.4")
            node.wait_until_written()
            asked.set()
            ended(node)
    assert tried[:2] == ["DEAD", "CT1"]


def test_what_was_asked_before_a_restart_is_reported_after_it(tmp_path: Path) -> None:
    port = free_port()
    requesters = {"requesters": [f"CT1@127.0.0.1:{port}"]}
    rules = {"first_delay_s": 0.1, "maximum_delay_s": 0.1}
    with running_node(tmp_path, commitment=requesters, delivery=rules) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            send(association, 1)
            ask(association, [ct(1)])
            scanner.report()  # which the scanner refuses
        ended(node, "commitment-report-postponed")
    scanner.answer = 0x0000
    with listening(scanner, port), running_node(tmp_path, commitment=requesters, delivery=rules) as node:
        assert scanner.report(2)[1] == {f"{SERIES}.1": CTImageStorage}
        ended(node)


def test_a_second_request_under_the_same_transaction_is_told_so(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            send(association, 1, 2)
            assert ask(association, [ct(1)]) == 0x0000
            assert scanner.report(1)[0] == 1
            ended(node)
            assert ask(association, [ct(2)]) == 0x0000
            assert scanner.report(2) == (2, {}, {f"{SERIES}.2": 0x0131})


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("instances", "transaction_uid", "changes", "status"),
    [
        ([ct(1)], "1.2.3", {"action_type": 2}, 0x0123),
        ([ct(1)], "1.2.3", {"instance_uid": "1.2.3.4"}, 0x0112),
        ([], "1.2.3", {}, 0x0115),
        ([ct(1)], "../../etc", {}, 0x0115),
        ([(CTImageStorage, "Doe^Jane")], "1.2.3", {}, 0x0115),
    ],
)
def test_requests_that_make_no_sense_are_refused_and_leave_no_words_of_theirs(
    tmp_path: Path, instances: list[Instance], transaction_uid: str, changes: dict[str, object], status: int
) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            assert ask(association, instances, transaction_uid, **changes) == status
            send(association, 1)  # the association goes on
        node.wait_until_written()
        (refused,) = events(node, "commitment-request-refused")
        assert refused.detail["status"] == f"0x{status:04X}"
        assert "Doe" not in str(refused.detail)
        assert request_overview(node.db) == []


def test_commitment_is_not_offered_where_it_is_switched_off(tmp_path: Path) -> None:
    with running_node(tmp_path, commitment={"offer": False}) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            assert ask(association, [ct(1)]) == 0x0124


def test_who_may_not_send_may_not_ask(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"calling_ae_titles": ["CT1"]}) as node:
        entity = AE(ae_title="STRANGER")
        entity.add_requested_context(StorageCommitmentPushModel)
        assert entity.associate("127.0.0.1", node.receiver.port, ae_title="GLIANET").is_rejected


def with_pacs(port: int) -> dict[str, object]:
    """Settings of a node whose only destination is an archive that commits itself, as [[destination]]."""
    return {
        "name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port,
        "storage_commitment": True, "commitment_wait_s": 0.01,
    }  # fmt: skip


@contextmanager
def asked_archive(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A receiver beside an outbox whose results the archive has taken, and was asked about under 2.25.1."""
    (tmp_path / "node").mkdir()
    with (
        filled_outbox(tmp_path / "node") as outbox,
        committing_archive() as archive,
        running_node(tmp_path, destination=[with_pacs(archive.port)]) as node,
    ):
        settings: Settings = node.settings
        for _ in range(2):
            assert deliver_next(
                outbox.db, settings.destinations[0], settings, outbox.root, "router:1:pacs",
                lambda: outbox.now, lambda: "2.25.1",
            )  # fmt: skip
        assert outbox.row.state == DeliveryState.STORED
        yield node, archive


def test_a_report_over_a_new_association_ends_the_series(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        assert archive.report(node.receiver.port) == 0x0000
        assert get_series(node.db, SERIES).state == SeriesState.DONE
        (delivered,) = events(node, "delivered")
        assert delivered.detail["transaction_uid"] == "2.25.1"
        assert archive.report(node.receiver.port) == 0x0000  # once more
        (ignored,) = events(node, "commitment-report-ignored")
        assert ignored.detail["because"] == "late"


def test_a_failure_reported_over_a_new_association_has_it_sent_again(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        archive.verdict = lambda instances: (instances[:1], [(one, 0x0110) for one in instances[1:]])
        assert archive.report(node.receiver.port) == 0x0000
        (row,) = deliveries(node.db, get_series(node.db, SERIES).id)
        assert row.state == DeliveryState.PENDING
        assert [one.role for one in row.outstanding] == ["sr"]


def test_a_report_for_another_transaction_and_one_from_somebody_else_are_answered_no(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        asked = archive.asked[-1]
        other = type(asked)("2.25.99", asked.instances)
        assert archive.report(node.receiver.port, other) == 0x0110
        assert archive.report(node.receiver.port, calling="STRANGER") == 0x0110
        ignored = events(node, "commitment-report-ignored")
        assert [(row.actor, row.detail["because"]) for row in ignored] == [
            ("ARCHIVE", "unknown"),
            ("STRANGER", "foreign"),
        ]
        assert get_series(node.db, SERIES).state == SeriesState.DELIVERING
        assert archive.report(node.receiver.port) == 0x0000
        assert get_series(node.db, SERIES).state == SeriesState.DONE
