"""Hostile messages: too long, never ending, sent ahead, or no messages at all; good senders are served."""

import socket
import struct
import threading
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_node import message_guard
from dicom_node.message_guard import LARGEST_COMMAND_SET, MOST_REPORTS, Gathered, Limits, guard_messages
from dicom_node.receiver import server
from dicom_node.receiver.commitment import CommitmentDesk
from dicom_node.receiver.gate import FREE_REJECTIONS
from storage.audit import entries, verify
from tests.support.dicom_network import DEADLINE_S, Node, eventually, make_ct, running_node, write_ct

COMMAND, DATA, LAST_COMMAND, LAST_DATA = 1, 0, 3, 2  # message control headers, PS3.8 E.2
ABORT = b"\x07"


def connect(node: Node) -> tuple[socket.socket, list[bytes]]:
    """A plain connection on which an association stands, and what a C-STORE of one instance takes to send."""
    sent: list[bytes] = []
    peer = node.peer()
    entity = AE(ae_title="SCANNER")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.ae_title,
        evt_handlers=[(evt.EVT_DATA_SENT, lambda event: sent.append(bytes(event.data)))],
    )
    association.send_c_store(make_ct(1))
    association.release()
    assert eventually(lambda: not node.receiver.associations)  # its place is free again
    raw = socket.create_connection((peer.host, peer.port), DEADLINE_S)
    raw.sendall(sent[0])
    assert raw.recv(65536)[:1] == b"\x02"  # A-ASSOCIATE-AC
    return raw, sent[1:-1]


def fragment(control: int, body: bytes) -> bytes:
    """A P-DATA-TF PDU with one fragment on the first context (PS3.8 9.3.5)."""
    item = struct.pack(">IBB", len(body) + 2, 1, control) + body
    return struct.pack(">BBI", 4, 0, len(item)) + item


def answers(raw: socket.socket) -> bytes:
    """All that comes until the receiver closes the connection."""
    received = b""
    while piece := raw.recv(65536):
        received += piece
    return received


def serves(node: Node, folder: Path) -> bool:
    return [one.status for one in node.send(write_ct(folder, make_ct(2)))] == [0x0000]


@pytest.mark.parametrize("body", [b"", bytes(20), b"garbage" * 9])
def test_command_that_is_none_ends_the_association(tmp_path: Path, body: bytes) -> None:
    with running_node(tmp_path, receiver={"maximum_associations": 1}) as node:
        raw, _ = connect(node)
        with raw:
            raw.sendall(fragment(LAST_COMMAND, body))
            assert answers(raw)[:1] == ABORT
        assert eventually(lambda: not node.receiver.associations)
        assert serves(node, tmp_path)


def test_command_without_end_is_aborted(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        raw, _ = connect(node)
        with raw:
            raw.sendall(fragment(COMMAND, bytes(LARGEST_COMMAND_SET + 1)))
            assert answers(raw)[:1] == ABORT
        assert serves(node, tmp_path)


def test_data_set_without_end_is_aborted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "guard_messages", lambda association, _: guard_messages(association, Limits(100_000)))
    with running_node(tmp_path) as node:
        raw, (command, *_) = connect(node)
        with raw:
            raw.sendall(command + fragment(DATA, bytes(60_000)) + fragment(DATA, bytes(60_000)))
            assert answers(raw)[:1] == ABORT
        assert serves(node, tmp_path)
        node.wait_until_written()
        assert verify(node.db).ok


def test_requests_sent_ahead_are_all_answered(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        raw, request = connect(node)
        release = struct.pack(">BBII", 5, 0, 4, 0)
        with raw:
            raw.sendall(b"".join(request) * 20 + release)
            received = answers(raw)
        node.wait_until_written()
        (*_, row) = entries(node.db, event="association-accepted")
    assert (row.detail["duplicates"], row.detail["end"]) == (20, "released")
    assert received.count(b"\x04\x00") >= 20


def test_abort_in_the_middle_of_a_data_set_keeps_nothing(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        raw, (command, *_) = connect(node)
        with raw:
            raw.sendall(command + fragment(DATA, bytes(1000)) + struct.pack(">BBII", 7, 0, 4, 0))
            assert answers(raw) == b""
        node.wait_until_written()
        files = [path for path in node.spool.rglob("*") if path.is_file()]
        assert len(files) == 1  # what `connect` sent
        (*_, row) = entries(node.db, event="association-accepted")
        assert (row.detail["end"], row.detail["stored"]) == ("aborted", 0)


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def test_connections_without_a_request_do_not_take_all_places(tmp_path: Path) -> None:
    limits: dict[str, object] = {"maximum_associations": 2, "acse_timeout_s": 3600.0}
    with running_node(tmp_path, receiver=limits) as node:
        silent = [socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) for _ in range(5)]
        for one in silent:
            one.setblocking(False)
        # One alone may stay: the newest as their threads began, which a busy machine may do in another order.
        assert eventually(lambda: sum(map(_has_ended, silent)) == 4)
        assert eventually(lambda: len(node.receiver.associations) == 1)
        assert serves(node, tmp_path)
        for one in silent:
            one.close()


def test_name_in_place_of_the_commands_uid_is_not_written_down(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        raw, (command, data) = connect(node)
        with raw:
            uid = str(make_ct(1).SOPInstanceUID).encode()
            raw.sendall(command.replace(uid, b"Doe^John".ljust(len(uid))) + data)
            raw.sendall(struct.pack(">BBII", 5, 0, 4, 0))
            answers(raw)
        node.wait_until_written()
        (row,) = entries(node.db, event="instance-refused")
        assert row.detail["affected_sop_instance_uid"] == "no valid UID"


def item(kind: int, body: bytes) -> bytes:
    """Of an A-ASSOCIATE-RQ, PS3.8 9.3.2."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def association_request(
    context_id: int, sop_class: bytes = b"1.2.840.10008.1.1", syntaxes: int = 1, most: int | None = 16384
) -> bytes:
    inside = item(0x30, sop_class) + item(0x40, b"1.2.840.10008.1.2.1") * syntaxes
    context = item(0x20, struct.pack(">BBBB", context_id, 0, 0, 0) + inside)
    length = b"" if most is None else item(0x51, struct.pack(">I", most))
    user = item(0x50, length + item(0x52, b"1.2.3.4"))
    titles = struct.pack(">HH", 1, 0) + b"GLIANET".ljust(16) + b"SCANNER".ljust(16) + bytes(32)
    body = titles + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
    return struct.pack(">BBI", 1, 0, len(body)) + body


def open_raw(node: Node, first: bytes) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S)
    raw.sendall(first)
    return raw


@pytest.mark.parametrize("request_", [association_request(2), b"GET / HTTP/1.1\r\n\r\n"], ids=["even ID", "HTTP"])
def test_who_asks_for_no_association_gives_its_place_back_and_counts_at_the_gate(
    tmp_path: Path, request_: bytes
) -> None:
    """A presentation context ID is odd, PS3.8 9.3.2.2; pynetdicom's thread ends where it is not."""
    limits: dict[str, object] = {"maximum_associations": 2, "acse_timeout_s": 3600.0}
    with running_node(tmp_path, receiver=limits) as node:
        for _ in range(FREE_REJECTIONS - 1):
            with open_raw(node, request_) as raw:
                assert answers(raw)[:1] in {b"", ABORT}
        assert eventually(lambda: not node.receiver.associations)
        assert node.receiver.gate.lets_in("127.0.0.1")
        with open_raw(node, request_) as raw:
            assert answers(raw)[:1] in {b"", ABORT}
        assert eventually(lambda: not node.receiver.gate.lets_in("127.0.0.1"))


RELEASE, ANY_ABORT = struct.pack(">BBII", 5, 0, 4, 0), struct.pack(">BBII", 7, 0, 4, 0)
REJECTION = struct.pack(">BBII", 3, 0, 4, 0x010101)
OTHER_VERSION = association_request(1)[:6] + struct.pack(">H", 2) + association_request(1)[8:]


@pytest.mark.parametrize(
    "first",
    [
        RELEASE,
        ANY_ABORT,
        REJECTION,
        fragment(DATA, b"x"),
        OTHER_VERSION,
        struct.pack(">BBI", 1, 0, 0xFFFFFFFF),
        association_request(1)[:40],
        b"\x01",
        association_request(1, syntaxes=65),
    ],
    ids=["release", "abort", "rejection", "data", "version 2", "4 GiB", "half a request", "a byte", "65 syntaxes"],
)
def test_whatever_comes_first_and_is_no_request_counts_at_the_gate_once(tmp_path: Path, first: bytes) -> None:
    with running_node(tmp_path, receiver={"acse_timeout_s": 3600.0}) as node:
        for number in range(FREE_REJECTIONS):
            assert node.receiver.gate.lets_in("127.0.0.1"), number
            with open_raw(node, first) as raw:
                raw.shutdown(socket.SHUT_WR)
                answers(raw)
            assert eventually(lambda: not node.receiver.associations)
        assert eventually(lambda: not node.receiver.gate.lets_in("127.0.0.1"))


def test_a_probe_that_says_nothing_does_not_count_at_the_gate(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        for _ in range(FREE_REJECTIONS + 5):
            open_raw(node, b"").close()
        assert eventually(lambda: not node.receiver.associations)
        assert node.receiver.gate.lets_in("127.0.0.1")


@pytest.mark.parametrize("then", [b"", ANY_ABORT[:3] + b"\x99" + ANY_ABORT[4:]], ids=["reset", "bad abort"])
def test_a_request_that_is_followed_by_a_reset_leaves_nothing_behind(tmp_path: Path, then: bytes) -> None:
    with running_node(tmp_path, receiver={"network_timeout_s": 3600.0}) as node:
        for _ in range(20):
            with open_raw(node, association_request(1) + then) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert eventually(lambda: not node.receiver.associations)
        assert eventually(lambda: not node.receiver.book._open)
        assert serves(node, tmp_path)


def test_the_row_of_an_association_whose_thread_died_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect, of the library or of a handler: nobody tells the book."""

    def die(*_: object) -> None:
        raise SystemExit  # the library catches every Exception of a handler

    monkeypatch.setattr(CommitmentDesk, "_accepted", die)
    with running_node(tmp_path) as node:
        with open_raw(node, association_request(1, CTImageStorage.encode())):
            assert eventually(lambda: len(node.receiver.book._open) == 1)
            (one,) = node.receiver.book._open
            assert eventually(lambda: not one.is_alive())
            node.receiver.book.look_around()
            assert not node.receiver.book._open
        node.wait_until_written()
        (row,) = entries(node.db, event="association-accepted")
        assert row.detail["end"] == "lost"


@pytest.mark.parametrize(
    ("most", "answer"),
    [
        (None, b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01"),
        (1, b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01"),
        (511, b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01"),
        (512, b"\x02"),
        (0, b"\x02"),
    ],
)
def test_a_peer_that_takes_no_pdu_of_use_is_rejected_without_a_reason(
    tmp_path: Path, most: int | None, answer: bytes
) -> None:
    """PS3.8 has no reason for it; the audit row has the words."""
    with running_node(tmp_path) as node:
        with open_raw(node, association_request(1, most=most)) as raw:
            assert raw.recv(65536).startswith(answer)
            raw.shutdown(socket.SHUT_WR)
            answers(raw)
        node.wait_until_written()
        rows = entries(node.db, event="association-rejected")
        assert [("PDU" in row.detail["why"]) for row in rows] == ([] if answer == b"\x02" else [True])


def test_a_caller_who_cannot_be_judged_does_not_come_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library logs the error of a handler and goes on."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("dicom_node.receiver.associations.why_refused", fail)
    with running_node(tmp_path) as node:
        with open_raw(node, association_request(1)) as raw:
            assert raw.recv(65536)[:1] == b"\x03"
        node.wait_until_written()
        (row,) = entries(node.db, event="association-rejected")
        assert row.detail["why"] == "it cannot be judged (ZeroDivisionError)"


def test_places_are_free_after_requests_that_are_none(tmp_path: Path) -> None:
    limits: dict[str, object] = {"maximum_associations": 2, "acse_timeout_s": 3600.0}
    with running_node(tmp_path, receiver=limits) as node:
        connections = [open_raw(node, association_request(2)) for _ in range(5)]
        assert {answers(one) for one in connections} == {b""}
        assert eventually(lambda: not node.receiver.associations)
        assert serves(node, tmp_path)
        for one in connections:
            one.close()


@pytest.mark.parametrize(
    "end",
    [struct.pack(">BBII", 7, 0, 4, 0x0277), association_request(2), struct.pack(">BBII", 3, 0, 4, 0x090909)],
    ids=["abort for no reason there is", "another request", "rejection"],
)
def test_an_association_that_ends_against_the_protocol_has_its_row(tmp_path: Path, end: bytes) -> None:
    with running_node(tmp_path) as node:
        raw, (command, *_) = connect(node)
        with raw:
            raw.sendall(command + fragment(DATA, bytes(60_000)) + end)
            answers(raw)
        assert eventually(lambda: not node.receiver.associations)
        node.wait_until_written()
        (*_, row) = entries(node.db, event="association-accepted")
        assert (row.detail["end"], row.detail["stored"]) == ("aborted", 0)


def element(group: int, number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


def event_report(message_id: int) -> bytes:
    """An N-EVENT-REPORT-RQ without its data set, PS3.7 table 10.3-1."""
    commitment = b"1.2.840.10008.1.20.1\x00"
    number, one, kind = (struct.pack("<H", value) for value in (message_id, 1, 0x0100))
    body = element(0, 2, commitment[:20]) + element(0, 0x100, kind) + element(0, 0x110, number)
    body += element(0, 0x800, one) + element(0, 0x1000, b"1.2.840.10008.1.20.1.1") + element(0, 0x1002, one)
    command = element(0, 0, struct.pack("<I", len(body))) + body
    return fragment(LAST_COMMAND, command)


@pytest.mark.parametrize(
    ("sop_class", "status"), [(b"1.2.840.10008.1.1", 0x0122), (b"1.2.840.10008.1.20.1", 0x0115)]
)
def test_reports_sent_ahead_are_served_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sop_class: bytes, status: int
) -> None:
    """pynetdicom starts a thread for each as it comes in. Those about another SOP class are refused."""
    at_once, most, lock = 0, 0, threading.Lock()
    served = CommitmentDesk.take_report

    def slow(desk: CommitmentDesk, event: evt.Event) -> tuple[int, Dataset | None]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.02)
        try:
            return served(desk, event)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(CommitmentDesk, "take_report", slow)
    with running_node(tmp_path) as node:
        raw = open_raw(node, association_request(1, sop_class))
        with raw:
            assert raw.recv(65536)[:1] == b"\x02"
            reports = b"".join(event_report(number) + fragment(LAST_DATA, b"") for number in range(1, 41))
            threading.Thread(target=raw.sendall, args=(reports,), daemon=True).start()
            answered, received = struct.pack("<HHIH", 0, 0x0900, 2, status), b""
            while received.count(answered) < 40:
                received += raw.recv(65536)
        assert most <= MOST_REPORTS


def test_a_report_may_not_be_as_large_as_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_guard, "LARGEST_INFORMATION", 50_000)
    with running_node(tmp_path) as node:
        with open_raw(node, association_request(1, b"1.2.840.10008.1.20.1")) as raw:
            assert raw.recv(65536)[:1] == b"\x02"
            raw.sendall(event_report(1) + fragment(DATA, bytes(60_000)))
            assert answers(raw)[:1] == ABORT
        assert serves(node, tmp_path)


def test_where_all_together_send_too_much_the_largest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "Gathered", lambda: Gathered(100_000))
    with running_node(tmp_path) as node:
        large, (command, *_) = connect(node)
        small = open_raw(node, association_request(1, CTImageStorage.encode()))
        with large, small:
            assert small.recv(65536)[:1] == b"\x02"
            large.sendall(command + fragment(DATA, bytes(60_000)))
            assert eventually(lambda: len(node.receiver.associations) == 2)
            threading.Event().wait(0.2)  # what was sent first has been read
            small.sendall(command + fragment(DATA, bytes(45_000)))
            assert answers(large) == b"", "hung up"
            assert eventually(lambda: len(node.receiver.associations) == 1)
            small.sendall(fragment(DATA, bytes(50_000)))
            small.sendall(struct.pack(">BBII", 7, 0, 4, 0))
            assert answers(small) == b""
        assert eventually(lambda: not node.receiver.associations)
        assert serves(node, tmp_path)
