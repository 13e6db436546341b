"""Hostile messages: too long, never ending, sent ahead, or no messages at all; good senders are served."""

import socket
import struct
import threading
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dicom_node import message_guard
from dicom_node.message_guard import LARGEST_COMMAND_SET, MOST_REPORTS, Gathered, Limits, guard_messages
from dicom_node.receiver import server
from dicom_node.receiver.commitment import CommitmentDesk
from storage.audit import entries, verify
from tests.support.dicom_network import DEADLINE_S, Node, eventually, make_ct, running_node
from tests.support.raw_peer import (
    ABORT,
    COMMAND,
    DATA,
    LAST_COMMAND,
    LAST_DATA,
    answers,
    association_request,
    fragment,
    open_raw,
    serves,
)  # fmt: skip


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
    read: list[int] = []

    class Watched(Gathered):
        def hold(self, association: Association, size: int) -> None:
            super().hold(association, size)
            read.append(size)

    monkeypatch.setattr(server, "Gathered", lambda: Watched(100_000))
    with running_node(tmp_path) as node:
        large, (command, *_) = connect(node)
        small = open_raw(node, association_request(1, CTImageStorage.encode()))
        with large, small:
            assert small.recv(65536)[:1] == b"\x02"
            large.sendall(command + fragment(DATA, bytes(60_000)))
            assert eventually(lambda: 60_000 in read)
            small.sendall(command + fragment(DATA, bytes(45_000)))
            assert answers(large) == b"", "hung up"
            assert eventually(lambda: len(node.receiver.associations) == 1)
            small.sendall(fragment(DATA, bytes(50_000)))
            small.sendall(struct.pack(">BBII", 7, 0, 4, 0))
            assert answers(small) == b""
        assert eventually(lambda: not node.receiver.associations)
        assert serves(node, tmp_path)
