"""TLS handshakes: each in a thread of its own, for a limited time, few at once; a slow one holds up nobody."""

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from dicom_node.tls import server_context
from dicom_node.tls_files import TlsError
from dicom_node.tls_settings import TlsSettings
from dicom_node.transport import hang_up

log = structlog.get_logger(__name__)

Fingerprint = tuple[tuple[int, int], ...]


class Handshakes:
    """Makes TLS connections of accepted ones. Where too many handshakes go on, the busiest address makes room."""

    def __init__(self, files: TlsSettings, most: int, timeout_s: float) -> None:
        self._certificates = CurrentCertificates(files)
        self._most = most
        self._timeout_s = timeout_s
        self._open: dict[ssl.SSLSocket, str] = {}
        self._lock = threading.Lock()

    def shake(self, connection: socket.socket, address: str) -> ssl.SSLSocket:
        """The connection with TLS on it; the handshake as a whole may take `timeout_s` seconds.

        Raises:
            OSError: no handshake; the connection is closed.
        """
        connection.settimeout(self._timeout_s)
        secured = self._certificates.context().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        try:
            with self._counted(secured, address):
                secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    def close(self) -> None:
        """End the handshakes that go on."""
        with self._lock:
            unfinished = list(self._open)
        for one in unfinished:
            hang_up(one)

    @contextmanager
    def _counted(self, secured: ssl.SSLSocket, address: str) -> Iterator[None]:
        with self._lock:
            surplus = self._one_too_many() if len(self._open) >= self._most else None
            self._open[secured] = address
        if surplus is not None:
            hang_up(surplus)
        try:
            yield
        finally:
            with self._lock:
                self._open.pop(secured, None)

    def _one_too_many(self) -> ssl.SSLSocket:
        """The oldest of the address that has most."""
        ((busiest, _),) = Counter(self._open.values()).most_common(1)
        oldest = next(one for one, address in self._open.items() if address == busiest)
        del self._open[oldest]
        log.warning("a TLS handshake makes room for others", address=busiest)
        return oldest


class CurrentCertificates:
    """The server's TLS context; files that were renewed count from the next connection on."""

    def __init__(self, files: TlsSettings, load: Callable[[TlsSettings], ssl.SSLContext] = server_context) -> None:
        self._files = files
        self._load = load
        self._seen = _fingerprint(files)
        self._context = load(files)
        self._lock = threading.Lock()

    def context(self) -> ssl.SSLContext:
        """Where new files cannot be used, or one is there and another not yet, the old ones stay."""
        with self._lock:
            seen = _fingerprint(self._files)
            if seen != self._seen:
                self._seen = seen
                self._renew()
            return self._context

    def _renew(self) -> None:
        try:
            self._context = self._load(self._files)
        except (TlsError, OSError) as error:
            log.error("changed TLS files cannot be used; those read before stay", error=str(error))
        else:
            log.info("TLS files were read anew")


def _fingerprint(files: TlsSettings) -> Fingerprint | None:
    try:
        return tuple((status.st_mtime_ns, status.st_size) for status in map(Path.stat, files.files))
    except OSError:  # being replaced
        return None
