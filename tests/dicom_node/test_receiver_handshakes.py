"""What is no TLS handshake, or never ends as one, does no harm and holds up nobody."""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_node.delivery import echo
from tests.support.certificates import Authority, loose_context
from tests.support.dicom_network import DEADLINE_S, eventually
from tests.support.tls_node import connect, over_tls, refusals, rows, tls_node


def test_plain_dicom_on_the_tls_port_is_refused(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        result = echo(replace(node.peer(), port=node.receiver.tls_port), "CT1")
        assert not result.ok
        assert refusals(node) == ["the peer does not speak TLS, as in plain DICOM"]


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\xff\xff" + bytes(1000), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000])
def test_garbage_on_the_tls_port_does_no_harm(tmp_path: Path, authority: Authority, garbage: bytes) -> None:
    with tls_node(tmp_path, authority) as node:
        with connect(node) as peer, suppress(OSError):  # it may be closed at any byte
            peer.sendall(garbage)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1000):
                pass
        assert echo(over_tls(node, authority.issue("ct1")), "CT1").ok


def test_tls_on_the_plain_port_does_no_harm(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        wrong = replace(over_tls(node, authority.issue("ct1")), port=node.receiver.port)
        assert not echo(wrong, "CT1").ok
        assert echo(node.peer(), "CT1").ok


def test_a_probe_that_goes_without_a_word_gets_no_row(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        for _ in range(3):
            connect(node).close()
        assert echo(over_tls(node, authority.issue("ct1")), "CT1").ok
        assert eventually(lambda: not [one for one in threading.enumerate() if "process_request" in one.name])
        assert rows(node, "tls-refused") == []


def test_handshakes_that_never_end_hold_up_nobody(tmp_path: Path, authority: Authority) -> None:
    """Three times as many as associations are allowed, half of them silent, half with a record begun."""
    limits: dict[str, object] = {"maximum_associations": 4, "acse_timeout_s": 3600.0}
    files = authority.issue("ct1")
    with tls_node(tmp_path, authority, receiver=limits) as node:
        hanging = [connect(node) for _ in range(12)]
        for one in hanging[::2]:
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert eventually(lambda: echo(over_tls(node, files), "CT1").ok)
        assert echo(node.peer(), "CT1").ok
        assert eventually(lambda: node.receiver.associations == [])  # they take no place
        for one in hanging:
            one.setblocking(False)
        assert eventually(lambda: sum(map(_has_ended, hanging)) >= 8)  # 4 at most go on
        for one in hanging:
            one.close()


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_handshake_has_a_time_limit_as_a_whole(tmp_path: Path, authority: Authority) -> None:
    """A byte now and then does not prolong it."""
    with tls_node(tmp_path, authority, receiver={"acse_timeout_s": 0.3}) as node:
        with connect(node) as peer:
            peer.settimeout(DEADLINE_S)
            pause, ended = threading.Event(), time.monotonic() + DEADLINE_S
            hello = b"\x16\x03\x01\x02\x00\x01" + bytes(500)
            with pytest.raises(OSError):  # noqa: PT011 - closed by the receiver, however the system words it
                for byte in hello:
                    assert time.monotonic() < ended
                    peer.sendall(bytes([byte]))
                    pause.wait(0.02)
                raise AssertionError("500 bytes, 0.02 s each, were taken")
        assert refusals(node) == ["no TLS handshake in time"]


@pytest.mark.parametrize("begun", [b"", b"\x01\x00\x00\x00\x10\x00half"])
def test_silence_after_the_handshake_gives_the_place_back(tmp_path: Path, authority: Authority, begun: bytes) -> None:
    limits: dict[str, object] = {"network_timeout_s": 0.3, "acse_timeout_s": 0.3, "maximum_associations": 1}
    files = authority.issue("ct1")
    with tls_node(tmp_path, authority, receiver=limits) as node:
        with loose_context(files).wrap_socket(connect(node)) as silent:
            silent.sendall(begun)
            assert silent.recv(1000) == b""  # closed by the receiver
        assert eventually(lambda: echo(over_tls(node, files), "CT1").ok)
