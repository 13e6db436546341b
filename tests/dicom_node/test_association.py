"""Opening associations: every way to fail is told apart."""

import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage

from dicom_node import association
from dicom_node.association import AssociationFailed, accepted_contexts, associate
from dicom_node.delivery import echo
from dicom_node.network_library import VERIFICATION
from dicom_node.pdu_length import LARGEST_SENT
from dicom_node.send import RemoteNode
from dicom_node.store_file import store_file
from tests.support.dicom_network import DEADLINE_S, context_of, make_ct, running_archive, write_ct

SEG = [(SegmentationStorage, ExplicitVRLittleEndian)]


def failure(peer: RemoteNode, own: str = "GLIANET") -> AssociationFailed:
    with pytest.raises(AssociationFailed) as caught, associate(peer, own, SEG):
        pytest.fail("the association was accepted")
    return caught.value


def test_accepted_contexts_are_exactly_those_proposed_and_supported() -> None:
    with running_archive([SegmentationStorage]) as archive:
        proposed = [*SEG, (SegmentationStorage, ImplicitVRLittleEndian)]
        with associate(RemoteNode("ARCHIVE", "127.0.0.1", archive.port), "GLIANET", proposed) as opened:
            assert accepted_contexts(opened) == set(SEG)
        assert opened.is_released


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failure(RemoteNode("ARCHIVE", "127.0.0.1", port))
    assert error.what == "no connection (Connection refused)"
    assert error.where == f"ARCHIVE at 127.0.0.1:{port}"
    assert "firewall" in error.advice
    assert error.retry_helps


def test_unknown_host_name() -> None:
    error = failure(RemoteNode("ARCHIVE", "no-such-host.invalid", 104))
    assert error.what.startswith("the host name cannot be resolved")


def test_host_name_with_addresses_that_nobody_listens_on() -> None:
    with (
        running_archive([SegmentationStorage]) as archive,
        associate(RemoteNode("ARCHIVE", "localhost", archive.port), "GLIANET", SEG) as opened,
    ):
        assert opened.is_established


def test_rejections_carry_the_standards_reason() -> None:
    with running_archive([SegmentationStorage], calling_ae_titles=["SOMEONE"]) as archive:
        wrong_caller = failure(RemoteNode("ARCHIVE", "127.0.0.1", archive.port))
        wrong_called = failure(RemoteNode("ELSEWHERE", "127.0.0.1", archive.port), "SOMEONE")
    assert wrong_caller.what == "association rejected (rejected permanent): Calling AE title not recognised"
    assert wrong_caller.advice == "enter this node's AE title at the peer"
    assert wrong_called.what == "association rejected (rejected permanent): Called AE title not recognised"


def test_no_accepted_context() -> None:
    with running_archive([SegmentationStorage], [ImplicitVRLittleEndian]) as archive:
        error = failure(RemoteNode("ARCHIVE", "127.0.0.1", archive.port))
    assert error.what == "refused: Segmentation Storage in Explicit VR Little Endian"


@contextmanager
def answering(answer: bytes, *, stays: bool) -> Iterator[RemoteNode]:
    """A peer that answers so to whatever it is sent, and then leaves, or stays as long as the block."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(answer)
                ended.wait(DEADLINE_S if stays else 0)

        thread = threading.Thread(target=serve)
        thread.start()
        peer = RemoteNode("ARCHIVE", "127.0.0.1", listener.getsockname()[1])
        yield replace(peer, dimse_timeout_s=0.3) if stays else peer
        assert thread.is_alive() or not stays
        ended.set()
        thread.join(DEADLINE_S)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_peer_that_speaks_no_dicom(answer: bytes) -> None:
    with answering(answer, stays=False) as peer:
        error = failure(peer)
    assert "association" in error.what
    assert "DICOM application" in error.advice or "log" in error.advice


def test_peer_that_accepts_the_connection_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = RemoteNode("ARCHIVE", "127.0.0.1", listener.getsockname()[1], dimse_timeout_s=0.2)
        error = failure(peer)
    assert error.what == "the peer gave no valid answer to the association request"


@pytest.mark.parametrize(
    "answer",
    [b"\x02\x00\x00\x00\x00\xb4\x00", b"\x02\x00\xff\xff\xff\xff" + bytes(100)],
    ids=["half an answer", "4 GiB announced"],
)
def test_peer_whose_answer_is_none_and_who_stays(answer: bytes) -> None:
    """pynetdicom would wait for the rest for ever, or take whatever comes."""
    with answering(answer, stays=True) as peer:
        error = failure(peer)
    assert error.what == "the peer gave no valid answer to the association request"


def acceptance(most: int | None, *contexts: bytes) -> bytes:
    """An A-ASSOCIATE-AC (PS3.8 table 9-17) with these context items."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content

    length = b"" if most is None else item(0x51, struct.pack(">I", most))
    body = struct.pack(">HH", 1, 0) + bytes(64) + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += b"".join(item(0x21, one) for one in contexts) + item(0x50, length + item(0x52, b"1.2.3"))
    return struct.pack(">BBI", 2, 0, len(body)) + body


def context(number: int, result: int, syntax: str | None) -> bytes:
    named = b"" if syntax is None else struct.pack(">BBH", 0x40, 0, len(syntax)) + syntax.encode()
    return bytes([number, 0, result, 0]) + named


ACCEPTED = context(1, 0, ExplicitVRLittleEndian)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (acceptance(None, ACCEPTED), "it does not state its maximum PDU length"),
        (acceptance(1, ACCEPTED), "it takes PDUs of 1 bytes at most"),
        (acceptance(6, ACCEPTED), "it takes PDUs of 6 bytes at most"),
        (acceptance(4095, ACCEPTED), "it takes PDUs of 4095 bytes at most; 4096 are the least"),
        (acceptance(16384, context(1, 0, None)), "transfer syntax that was not proposed"),
        (acceptance(16384, context(1, 0, "")), "transfer syntax that was not proposed"),
        (acceptance(16384, *[ACCEPTED] * 129), "no valid answer"),
        (acceptance(16384, context(1, 0, ImplicitVRLittleEndian)), "transfer syntax that was not proposed"),
        (acceptance(16384), "refused: Segmentation Storage in Explicit VR Little Endian"),
        (acceptance(16384, context(1, 3, None)), "refused: Segmentation Storage in Explicit VR Little Endian"),
        (acceptance(16384, context(3, 0, ExplicitVRLittleEndian)), "refused: Segmentation Storage"),
    ],
)
def test_an_answer_that_is_not_as_the_standard_has_it_is_a_failure_like_others(answer: bytes, what: str) -> None:
    """The library relies on what it says: division by zero and the like would end the router."""
    with answering(answer, stays=True) as peer:
        error = failure(peer)
    assert what in error.what
    assert error.retry_helps


@pytest.mark.parametrize(("stated", "used"), [(0, LARGEST_SENT), (4097, 4096), (0xFFFFFFFF, LARGEST_SENT)])
def test_a_peer_that_takes_any_length_gets_pieces_that_can_be_waited_for(stated: int, used: int) -> None:
    with (
        answering(acceptance(stated, ACCEPTED), stays=True) as peer,
        associate(peer, "GLIANET", SEG) as opened,
    ):
        assert opened.dimse.maximum_pdu_size == used


@pytest.mark.parametrize("most", [0, 4096], ids=["one large PDU", "PDUs that are each in time"])
def test_a_peer_that_reads_a_little_at_a_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """It never stops reading, so that no single wait is long, and 8 MB would take it 80 s; it never says goodbye."""
    monkeypatch.setattr(association, "_END_WITHIN_S", 0.5)
    file = write_ct(tmp_path, make_ct(1, size=2000))
    with trickling(acceptance(most, context(1, 0, ExplicitVRLittleEndian))) as port:
        peer = RemoteNode("ARCHIVE", "127.0.0.1", port, dimse_timeout_s=0.5)
        began = time.monotonic()
        with pytest.raises(ZeroDivisionError), associate(peer, "GLIANET", [context_of(file)]) as opened:
            assert store_file(opened, file, 0).status is None
            raise ZeroDivisionError
        assert time.monotonic() - began < DEADLINE_S
        assert not opened.is_established


@contextmanager
def trickling(answer: bytes) -> Iterator[int]:
    """A peer that answers so, and reads 100 kB a second as long as the block."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100_000)
                connection.sendall(answer)
                while not ended.wait(0.02):
                    connection.recv(2000)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()


def test_an_address_that_this_machine_cannot_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one of IPv6 where the kernel has none."""
    with running_archive([SegmentationStorage]) as archive:
        monkeypatch.setattr(association, "_addresses", lambda _peer: ["::1", "127.0.0.1"])
        real = socket.socket

        def without_ipv6(family: int = -1, *arguments: int, **more: object) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            return real(family, *arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr("pynetdicom.transport.socket.socket", without_ipv6)
        with associate(RemoteNode("ARCHIVE", "localhost", archive.port), "GLIANET", SEG) as opened:
            assert opened.is_established


def test_an_error_in_the_block_aborts_the_association() -> None:
    with (
        running_archive([SegmentationStorage]) as archive,
        pytest.raises(ZeroDivisionError),
        associate(RemoteNode("ARCHIVE", "127.0.0.1", archive.port), "GLIANET", SEG) as opened,
    ):
        raise ZeroDivisionError
    assert not opened.is_established
    assert not opened.is_released


def test_echo_tells_what_it_saw() -> None:
    with running_archive([VERIFICATION], [ImplicitVRLittleEndian]) as archive:
        peer = RemoteNode("ARCHIVE", "127.0.0.1", archive.port)
        answered = echo(peer, "GLIANET")
    gone = echo(peer, "GLIANET")
    assert (answered.ok, answered.detail) == (True, f"ARCHIVE at 127.0.0.1:{archive.port} answered")
    assert not gone.ok
    assert "Connection refused" in gone.detail
