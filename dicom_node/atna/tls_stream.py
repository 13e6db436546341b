"""A TLS connection for one direction, whose end tells whether the other side has read everything.

Not an SSLSocket: its `unwrap` takes a fatal alert for the answer to close_notify, so that messages to a receiver that
refuses this node's certificate - in TLS 1.3 it says so after this side has begun to send - would count as arrived.
"""

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")
LOOK_AGAIN_S = 0.01
RECEIVED_AT_ONCE = 65536  # octets


class TlsStream:
    """A connection over `plain`, which it closes; everything together has time until `deadline` (time.monotonic())."""

    def __init__(
        self, context: ssl.SSLContext, plain: socket.socket, server_name: str, deadline: float
    ) -> None:
        """Shake hands. Raises OSError (ssl.SSLError among them, and TimeoutError)."""
        self._plain = plain
        self._deadline = deadline
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._exchange(self._tls.do_handshake)

    def __enter__(self) -> "TlsStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._plain.close()

    @property
    def version(self) -> str:
        """Such as TLSv1.3."""
        return self._tls.version() or "TLS"

    def send(self, octets: bytes) -> None:
        """Raises OSError."""
        rest = memoryview(octets)
        while rest:
            rest = rest[self._exchange(lambda part=rest: self._tls.write(part)) :]  # type: ignore[misc]

    def end(self) -> None:
        """Say close_notify, and wait until the other side has answered it. Raises OSError where it did not."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        try:
            while self._exchange(lambda: self._tls.read(RECEIVED_AT_ONCE)):
                pass  # a receiver has nothing to say
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLEOFError:
            self._await_acknowledgement()
        except TimeoutError as error:
            raise TimeoutError("the receiver does not end the connection (RFC 5425 section 4.4)") from error

    def _exchange(self, step: Callable[[], Result]) -> Result:
        """Do one thing that may need octets of the other side first."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.settimeout(self._left())
            self._plain.sendall(self._outgoing.read())

    def _receive(self) -> None:
        self._plain.settimeout(self._left())
        octets = self._plain.recv(RECEIVED_AT_ONCE)
        if octets:
            self._incoming.write(octets)
        else:
            self._incoming.write_eof()

    def _await_acknowledgement(self) -> None:
        """It has hung up without a word: wait until its computer has taken every octet, or refused them (a reset)."""
        while _unacknowledged(self._plain):
            time.sleep(min(LOOK_AGAIN_S, self._left()))
        error = self._plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "the receiver hung up before it had read everything")

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def _unacknowledged(connection: socket.socket) -> int:
    """Octets that the other computer has not acknowledged (SIOCOUTQ)."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
