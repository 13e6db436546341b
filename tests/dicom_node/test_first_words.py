"""What a peer sends first: an association request that can be used, or something that gives its place back."""

import socket
import struct
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from dicom_node.receiver.commitment import CommitmentDesk
from dicom_node.receiver.gate import FREE_REJECTIONS
from storage.audit import entries
from tests.support.dicom_network import DEADLINE_S, eventually, running_node
from tests.support.raw_peer import ABORT, DATA, answers, association_request, fragment, open_raw, serves


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


def of_versions(bits: int) -> bytes:
    return association_request(1)[:6] + struct.pack(">H", bits) + association_request(1)[8:]


def test_who_knows_a_later_version_of_the_protocol_too_is_served(tmp_path: Path) -> None:
    """PS3.8 9.3.2: a bit for each version, of which the acceptor tests its own."""
    with running_node(tmp_path) as node, open_raw(node, of_versions(0b11)) as raw:
        assert raw.recv(65536)[:1] == b"\x02"  # A-ASSOCIATE-AC


OTHER_VERSION = of_versions(0b10)


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
