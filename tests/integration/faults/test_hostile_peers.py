"""Peers that mean harm, all at once, while a good sender sends: it is served, and the port answers afterwards."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.presentation import build_context

from storage.audit import verify
from storage.series import list_series
from tests.support.dicom_network import DEADLINE_S, Node, eventually, make_ct, running_node, write_ct

SLICES = 30
LARGEST_LENGTH = 0xFFFFFFFF
PATIENCE_S = 1.0  # of the receiver in these tests, for a peer that says nothing
Attack = Callable[[Node], None]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    table = {"acse_timeout_s": PATIENCE_S, "network_timeout_s": PATIENCE_S, "maximum_associations": 10}
    with running_node(tmp_path / "node", receiver=table) as running:
        yield running


def connect(node: Node) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S)


def garbage(node: Node) -> None:
    """Random bytes, and one for each type of PDU."""
    for start in (b"", *(bytes([kind]) for kind in range(1, 8))):
        with connect(node) as raw:
            raw.sendall(start + os.urandom(4096))


def huge_lengths(node: Node) -> None:
    for kind in range(1, 8):
        with connect(node) as raw:
            raw.sendall(struct.pack(">BBI", kind, 0, LARGEST_LENGTH) + bytes(1000))


def half_open(node: Node) -> None:
    """Connections that stay open and say nothing, until the receiver hangs up."""
    opened = [connect(node) for _ in range(8)]
    for raw in opened:
        with raw:
            raw.settimeout(DEADLINE_S)
            with suppress(ConnectionResetError):
                assert raw.recv(1) == b""


def slow_loris(node: Node) -> None:
    """The beginning of an association request, a byte at a time."""
    request = struct.pack(">BBIHH", 1, 0, 200, 1, 0) + b"GLIANET".ljust(16) + b"LORIS".ljust(16)
    pause = threading.Event()
    with connect(node) as raw:
        try:
            for byte in request:
                raw.sendall(bytes([byte]))
                pause.wait(0.1)
        except OSError:
            pass  # it was hung up on


def many_contexts(node: Node) -> None:
    """128 presentation contexts, the most that there can be (PS3.8 section 9.3.2.2)."""
    entity = AE(ae_title="MANY")
    contexts = [build_context(CTImageStorage, ExplicitVRLittleEndian) for _ in range(128)]
    association = entity.associate("127.0.0.1", node.receiver.port, contexts=contexts, ae_title="GLIANET")
    if association.is_established:
        association.release()


def half_an_instance(node: Node) -> None:
    """An association that breaks off in the middle of a data set."""
    entity = AE(ae_title="HALF")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", node.receiver.port, ae_title="GLIANET")
    if association.is_established:
        item = struct.pack(">IBB", 1002, 1, 0) + bytes(1000)
        connection = association.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.sendall(struct.pack(">BBI", 4, 0, len(item)) + item)
        association.abort()


ATTACKS: tuple[Attack, ...] = (garbage, huge_lengths, half_open, slow_loris, many_contexts, half_an_instance)


@contextmanager
def attacked(node: Node, attacks: tuple[Attack, ...]) -> Iterator[list[BaseException]]:
    """Each attack in a thread of its own, again and again, until the block ends; what went wrong in them."""
    over, problems = threading.Event(), list[BaseException]()

    def again(attack: Attack) -> None:
        while not over.is_set():
            try:
                attack(node)
            except ConnectionError:
                continue  # hung up on in the middle of it
            except BaseException as problem:  # noqa: BLE001 - told to the test
                problems.append(problem)
                return

    threads = [threading.Thread(target=again, args=(attack,)) for attack in attacks]
    for thread in threads:
        thread.start()
    try:
        yield problems
    finally:
        over.set()
        for thread in threads:
            thread.join(DEADLINE_S)


def test_a_good_sender_is_served_while_all_others_mean_harm(node: Node, tmp_path: Path) -> None:
    files = [write_ct(tmp_path / "good", make_ct(number)) for number in range(1, SLICES + 1)]
    with attacked(node, ATTACKS) as problems:
        for start in range(0, SLICES, 10):  # three associations, each of which has to find a place
            answers = node.send(*files[start : start + 10])
            assert [answer.status for answer in answers] == [0x0000] * 10
    assert problems == []
    node.wait_until_written()
    (row,) = list_series(node.db)
    assert row.instance_count == SLICES
    assert not list(node.spool.rglob("*.tmp")) and len(list(node.spool.rglob("*.dcm"))) == SLICES
    assert verify(node.db).ok


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_stays_of_an_attack(node: Node, tmp_path: Path, attack: Attack) -> None:
    """No connection, no thread of an association, no file."""
    attack(node)
    assert eventually(lambda: not node.receiver.associations)
    assert not list(node.spool.rglob("*"))
    assert [one.status for one in node.send(write_ct(tmp_path, make_ct(1)))] == [0x0000]
