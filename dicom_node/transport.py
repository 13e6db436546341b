"""A connection to a peer: read in large pieces, never more than a PDU may hold, never waited on for ever."""

import math
import socket
import ssl
import struct
import time
from contextlib import suppress
from functools import partial

from pynetdicom.transport import AssociationSocket

LARGEST_PDU = 1024**2  # bytes; the largest value that receiver.maximum_pdu_bytes can have
# Bytes; more than any association request takes: 128 presentation contexts with every transfer syntax there is take
# 170 KiB. Decoding a request takes time that grows with the square of its transfer syntaxes.
LARGEST_REQUEST = 256 * 1024
TIMEVAL = struct.Struct("ll")  # seconds and microseconds of SO_RCVTIMEO and SO_SNDTIMEO


def read_in_bulk(connection: AssociationSocket, largest_pdu: int = LARGEST_PDU) -> None:
    """Let `connection` read each PDU with as few system calls as it takes.

    pynetdicom reads 4 kB at a time, 128 times for a slice, and believes any length up to 4 GiB that a peer
    announces. A PDU of more than `largest_pdu` bytes now ends the connection.
    """
    if connection.socket is not None:
        connection.recv = partial(_receive, connection.socket, largest_pdu)  # type: ignore[method-assign]


def limit_silence(connection: AssociationSocket, timeout_s: float) -> None:
    """End the connection of a peer that takes longer to send a PDU, silent or byte by byte, or to read one.

    The kernel's timeout: with Python's own, every read would poll first. TLS knows only that one.
    """
    if isinstance(connection.socket, ssl.SSLSocket):
        connection.socket.settimeout(timeout_s)
    elif connection.socket is not None:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.socket.setsockopt(socket.SOL_SOCKET, option, timeval(timeout_s))


def timeval(seconds: float) -> bytes:
    """A timeout as the kernel takes it."""
    whole, rest = divmod(seconds, 1)
    return TIMEVAL.pack(int(whole), int(rest * 1e6))


def hang_up(connection: socket.socket) -> None:
    """End the connection from another thread than its own, which may be reading, and sees the end."""
    with suppress(OSError):  # it has ended meanwhile
        connection.shutdown(socket.SHUT_RDWR)


def _receive(peer: socket.socket, largest_pdu: int, wanted: int) -> bytearray:
    """`wanted` bytes from the peer; fewer where it closes the connection before.

    Raises:
        OSError: the peer fell silent, took too long, or announced more than a PDU may hold.
    """
    if wanted > largest_pdu:
        raise OSError(f"the peer announced a PDU of {wanted} bytes; {largest_pdu} are the most")
    started = time.monotonic()
    flags = 0 if isinstance(peer, ssl.SSLSocket) else socket.MSG_WAITALL  # TLS reads a record of 16 KiB at most
    buffer = bytearray(wanted)
    view, filled = memoryview(buffer), 0
    while filled < wanted:
        received = peer.recv_into(view[filled:], flags=flags)
        if received == 0:
            view.release()
            return buffer[:filled]
        filled += received
        if filled < wanted and time.monotonic() - started > (_patience_s(peer) or math.inf):
            raise TimeoutError(f"the peer sent {filled} of {wanted} bytes in time")
    view.release()
    return buffer


def _patience_s(peer: socket.socket) -> float:
    """What `limit_silence` set, less a clock's grain; 0 where nothing is set."""
    if isinstance(peer, ssl.SSLSocket):
        return 0.9 * (peer.gettimeout() or 0.0)
    seconds, microseconds = TIMEVAL.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL.size))
    return float(0.9 * (seconds + microseconds / 1e6))
