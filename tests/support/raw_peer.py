"""A peer that sends bytes of its own making to a receiver, and the bytes of DICOM's protocol (PS3.8)."""

import socket
import struct
from pathlib import Path

from tests.support.dicom_network import DEADLINE_S, Node, make_ct, write_ct

COMMAND, DATA, LAST_COMMAND, LAST_DATA = 1, 0, 3, 2  # message control headers, PS3.8 E.2
ABORT = b"\x07"


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
