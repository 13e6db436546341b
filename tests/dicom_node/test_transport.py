"""Reading from connections: whole PDUs, early ends, silence and lengths that nobody should believe."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dicom_node.delivery import echo
from dicom_node.transport import LARGEST_PDU, LARGEST_REQUEST, limit_silence, read_in_bulk
from tests.support.dicom_network import DEADLINE_S, eventually, running_node


@pytest.fixture
def pair() -> Iterator[tuple[SimpleNamespace, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = SimpleNamespace(socket=ours, recv=None)
    read_in_bulk(connection)  # type: ignore[arg-type]
    yield connection, theirs
    ours.close()
    theirs.close()


def test_what_comes_in_pieces_is_read_whole(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, peer = pair
    data = bytes(range(256)) * 2000  # more than a socket's buffer holds
    thread = threading.Thread(
        target=lambda: [peer.sendall(data[i : i + 999]) for i in range(0, len(data), 999)]
    )
    thread.start()
    assert connection.recv(6) == data[:6]
    assert connection.recv(len(data) - 6) == data[6:]
    thread.join(DEADLINE_S)


def test_early_end_gives_what_came(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(b"half")
    peer.close()
    assert connection.recv(10) == b"half"
    assert connection.recv(10) == b""


def test_silence_in_the_middle_is_an_error(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, peer = pair
    limit_silence(connection, 0.05)  # type: ignore[arg-type]
    peer.sendall(b"half")
    with pytest.raises(OSError, match="sent 4 of 10 bytes"):
        connection.recv(10)


def test_bytes_that_drip_are_not_waited_for(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, peer = pair
    limit_silence(connection, 0.2)  # type: ignore[arg-type]
    ended = threading.Event()

    def drip() -> None:
        while not ended.wait(0.02):
            peer.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(OSError, match="bytes in time"):
        connection.recv(10_000)
    ended.set()
    thread.join(DEADLINE_S)


def test_peer_that_reads_nothing_is_not_waited_for(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, _ = pair
    limit_silence(connection, 0.05)  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError):
        while True:
            connection.socket.sendall(bytes(100_000))


def test_length_beyond_any_pdu_is_not_believed(pair: tuple[SimpleNamespace, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(b"\0" * 100)
    with pytest.raises(OSError, match="announced a PDU"):
        connection.recv(LARGEST_PDU + 1)


def test_a_request_may_not_be_as_long_as_images_are(tmp_path: Path) -> None:
    """The time that decoding takes grows with the square of its transfer syntaxes."""
    with (
        running_node(tmp_path) as node,
        socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as peer,
    ):
        peer.sendall(struct.pack(">BBI", 1, 0, LARGEST_REQUEST + 1))
        assert peer.recv(1000) == b""


def test_receiver_ends_a_connection_that_announces_four_gibibytes(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"maximum_associations": 1}) as node:
        with socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as peer:
            peer.sendall(struct.pack(">BBI", 1, 0, 0xFFFFFFFF))
            assert peer.recv(1000) == b""
        assert eventually(lambda: echo(node.peer(), "MONITOR").ok)
