"""Hostile messages: too long, never ending, sent ahead, or no messages at all; good senders are served."""

import socket
import struct
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_node.receiver import server
from dicom_node.receiver.messages import LARGEST_COMMAND_SET, guard_messages
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
    monkeypatch.setattr(server, "guard_messages", lambda association: guard_messages(association, 100_000))
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
