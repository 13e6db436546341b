"""An audit record repository for tests: syslog over TLS (RFC 5425), and faults that a real one has."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from dicom_node.tls_settings import TlsSettings
from tests.support.waiting import wait_until

WITHIN_S = 20.0


class Fault(Enum):
    """What the receiver does with a connection."""

    NONE = "reads everything and answers the end"
    SILENT_END = "reads everything and hangs up without close_notify"
    DEAF = "reads nothing"
    RESET = "reads a little and resets the connection"
    HANGS_UP = "reads nothing and hangs up without a word"
    NO_END = "reads everything and does not answer the end"


class SyslogReceiver:
    """Listens on `port`; `messages` are those of all connections, whole and without their frames."""

    def __init__(self, files: TlsSettings, port: int = 0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.files[0], files.files[1])
        self._context.load_verify_locations(files.files[2])
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.fault = Fault.NONE
        self.messages: list[bytes] = []
        self.connections = 0
        self.failures: list[str] = []
        self._held: list[socket.socket] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> list[bytes]:
        """The messages, when there are `count` of them."""
        wait_until(
            lambda: len(self.messages) >= count,
            WITHIN_S,
            f"{count} messages",
            context=self._context_of_failure,
        )
        return list(self.messages)

    def close(self) -> None:
        """Stop listening; connections that are held end."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WITHIN_S)
        for connection in self._held:
            connection.close()

    def _context_of_failure(self) -> str:
        return f"{len(self.messages)} messages over {self.connections} connections; {self.failures}"

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            plain.settimeout(WITHIN_S)
            try:
                self._answer(self._context.wrap_socket(plain, server_side=True))
            except OSError as error:
                self.failures.append(str(error))
                plain.close()

    def _answer(self, connection: ssl.SSLSocket) -> None:
        fault = self.fault
        if fault is Fault.DEAF:
            self._held.append(connection)
            return
        if fault is Fault.HANGS_UP:
            connection.close()
            return
        if fault is Fault.RESET:
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        octets = b"".join(iter(lambda: connection.recv(65536), b""))
        self.messages.extend(unframed(octets))
        if fault is Fault.NO_END:
            self._held.append(connection)
        elif fault is Fault.SILENT_END:
            connection.close()
        else:
            connection.unwrap().close()


def unframed(octets: bytes) -> Iterator[bytes]:
    """RFC 5425 section 4.3: MSG-LEN SP SYSLOG-MSG, again and again."""
    while octets:
        length, space, rest = octets.partition(b" ")
        assert space, "a frame begins with its length and a space"
        assert length.isdigit()
        assert not length.startswith(b"0")
        assert len(rest) >= int(length), "the last frame is whole"
        yield rest[: int(length)]
        octets = rest[int(length) :]


@contextmanager
def receiving(files: TlsSettings, port: int = 0) -> Iterator[SyslogReceiver]:
    """A receiver that shows and trusts `files`."""
    receiver = SyslogReceiver(files, port)
    try:
        yield receiver
    finally:
        receiver.close()
