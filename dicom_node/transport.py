"""A connection to a peer: read in large pieces, never more than a PDU may hold, never waited on for ever."""

import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

from dicom_node.request_check import check_answer, check_request, keep_first_version

LARGEST_PDU = 1024**2  # bytes; the largest value that receiver.maximum_pdu_bytes can have
# Bytes; more than any association request takes: 128 presentation contexts with every transfer syntax there is take
# 170 KiB.
LARGEST_REQUEST = 256 * 1024
HEADER_BYTES = 6  # of a PDU (PS3.8 section 9.3.1): type and length
_REQUEST, _ANSWER = 0x01, 0x02  # types: A-ASSOCIATE-RQ, A-ASSOCIATE-AC
TIMEVAL = struct.Struct("ll")  # seconds and microseconds of SO_RCVTIMEO and SO_SNDTIMEO


def read_in_bulk(connection: AssociationSocket) -> None:
    """Let `connection` read each PDU with as few system calls as it takes.

    pynetdicom reads 4 kB at a time, 128 times for a slice, and believes any length up to 4 GiB that a peer
    announces. A PDU of more than `LARGEST_PDU` bytes now ends the connection.
    """
    if connection.socket is not None:
        reader = _Reader(connection.socket, LARGEST_PDU, {_ANSWER: check_answer})
        connection.recv = reader  # type: ignore[method-assign, assignment]


def read_request(connection: AssociationSocket) -> None:
    """The same before an association stands: a request that names too much ends the connection before it is decoded."""
    if connection.socket is not None:
        reader = _Reader(connection.socket, LARGEST_REQUEST, {_REQUEST: check_request})
        connection.recv = reader  # type: ignore[method-assign, assignment]


def has_sent(connection: AssociationSocket) -> bool:
    """Whether the peer has sent anything since `read_request`."""
    return isinstance(connection.recv, _Reader) and connection.recv.heard


def limit_silence(connection: AssociationSocket, timeout_s: float) -> None:
    """End the connection of a peer that takes longer to send a PDU, silent or byte by byte, or to read one.

    The kernel's timeout: with Python's own, every read would poll first. TLS knows only that one.
    """
    connection.send = partial(_send, connection, timeout_s)  # type: ignore[method-assign]
    if isinstance(connection.socket, ssl.SSLSocket):
        connection.socket.settimeout(timeout_s)
    elif connection.socket is not None:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.socket.setsockopt(socket.SOL_SOCKET, option, timeval(timeout_s))


def hang_up_after(event: evt.Event, seconds: float) -> None:
    """For EVT_ABORTED: the library waits until all that is queued has been sent, and then for the peer to hang up."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        timer = threading.Timer(seconds, hang_up, [connection.socket])
        timer.daemon = True
        timer.start()


def timeval(seconds: float) -> bytes:
    """A timeout as the kernel takes it."""
    whole, rest = divmod(seconds, 1)
    return TIMEVAL.pack(int(whole), int(rest * 1e6))


def hang_up(connection: socket.socket) -> None:
    """End the connection from another thread than its own, which may be reading, and sees the end."""
    with suppress(OSError):  # it has ended meanwhile
        # Not that of TLS, which first forgets its keys: what another thread is sending would go out as it is.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Reader:
    """Stands for `AssociationSocket.recv`. heard: whether anything has come; checks: what looks at a PDU of a type."""

    def __init__(
        self, peer: socket.socket, largest_pdu: int, checks: Mapping[int, Callable[[bytearray], None]]
    ) -> None:
        self._peer = peer
        self._largest_pdu = largest_pdu
        self._checks = checks
        self._type = 0
        self.heard = False

    def __call__(self, wanted: int) -> bytearray:
        """`wanted` bytes from the peer; fewer where it closes the connection before.

        Raises:
            OSError: the peer fell silent, took too long, or announced more than a PDU may hold.
            NodeError: what came is more than may be decoded.
        """
        if wanted > self._largest_pdu:
            raise OSError(f"the peer announced a PDU of {wanted} bytes; {self._largest_pdu} are the most")
        received = self._receive(wanted)
        if wanted > HEADER_BYTES and self._type in self._checks:
            self._checks[self._type](received)
            keep_first_version(received)
        self._type = received[0] if wanted == HEADER_BYTES and received else 0
        return received

    def _receive(self, wanted: int) -> bytearray:
        peer, started = self._peer, time.monotonic()
        flags = 0 if isinstance(peer, ssl.SSLSocket) else socket.MSG_WAITALL  # TLS reads a record of 16 KiB at most
        buffer = bytearray(wanted)
        view, filled = memoryview(buffer), 0
        while filled < wanted:
            received = peer.recv_into(view[filled:], flags=flags)
            if received == 0:
                view.release()
                return buffer[:filled]
            self.heard = True
            filled += received
            if filled < wanted and time.monotonic() - started > (_patience_s(peer) or math.inf):
                raise TimeoutError(f"the peer sent {filled} of {wanted} bytes in time")
        view.release()
        return buffer


def _send(connection: AssociationSocket, timeout_s: float, data: bytes) -> None:
    """Stands for `AssociationSocket.send`: no longer than `timeout_s`, in however small pieces the peer reads."""
    try:
        peer, rest, started = connection.socket, memoryview(data), time.monotonic()
        if peer is None:
            raise OSError("the connection is closed")
        while rest:
            rest = rest[peer.send(rest) :]
            if rest and time.monotonic() - started > 0.9 * timeout_s:  # less a clock's grain
                raise TimeoutError(f"the peer read {len(data) - len(rest)} of {len(data)} bytes in time")
        evt.trigger(connection.assoc, evt.EVT_DATA_SENT, {"data": data})
    except Exception:  # noqa: BLE001 - as the library does: the connection counts as closed, whatever it was
        connection.event_queue.put("Evt17")


def _patience_s(peer: socket.socket) -> float:
    """What `limit_silence` set, less a clock's grain; 0 where nothing is set."""
    if isinstance(peer, ssl.SSLSocket):
        return 0.9 * (peer.gettimeout() or 0.0)
    seconds, microseconds = TIMEVAL.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL.size))
    return float(0.9 * (seconds + microseconds / 1e6))
