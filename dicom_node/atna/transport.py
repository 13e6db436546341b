"""Taking syslog messages to the audit record repository: RFC 5425 (TLS) and RFC 5426 (UDP).

Syslog has no answer to a message. Over TLS the end of the connection serves as one: this side says close_notify after
the last message, and a receiver answers it (RFC 5425 section 4.4) when it has read what came before.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence

from dicom_node.atna.syslog import framed
from dicom_node.atna.tls_stream import TlsStream
from dicom_node.atna_settings import AtnaSettings
from dicom_node.errors import NodeError
from dicom_node.tls import TlsClient, client_context, explain
from dicom_node.tls_settings import TlsSettings

LARGEST_DATAGRAM = 65507  # octets, RFC 768 over IPv4

Send = Callable[[Sequence[bytes]], None]


class RepositoryError(NodeError):
    """The audit record repository did not take messages; they are sent again."""

    def __init__(self, what: str, where: str, advice: str = "") -> None:
        super().__init__(what, where=where, retry_helps=True, advice=advice)


def sender(settings: AtnaSettings, tls: TlsSettings) -> Send:
    """What sends messages in their order, and returns when all have arrived, as far as the transport can tell.

    It raises RepositoryError where they may not have arrived, and TlsError where a certificate file cannot be used.
    """
    if settings.transport == "udp":
        return lambda messages: _send_udp(settings, messages)
    return lambda messages: _send_tls(settings, tls, messages)


def greet(settings: AtnaSettings, tls: TlsSettings) -> str:
    """Connect over TLS and end the connection again; the version of TLS. Raises as what `sender` gives."""
    try:
        with _connect(settings, tls) as stream:
            stream.end()
            return stream.version
    except OSError as error:
        raise _unreachable(settings, error) from error


def _send_tls(settings: AtnaSettings, tls: TlsSettings, messages: Sequence[bytes]) -> None:
    try:
        with _connect(settings, tls) as stream:
            for message in messages:
                stream.send(framed(message))
            stream.end()
    except OSError as error:
        raise _unreachable(settings, error) from error


def _connect(settings: AtnaSettings, tls: TlsSettings) -> TlsStream:
    deadline = time.monotonic() + settings.timeout_s
    name = settings.server_name or settings.host
    context = client_context(TlsClient(settings.files(tls), name))
    plain = socket.create_connection((settings.host, settings.port), settings.timeout_s)
    try:
        return TlsStream(context, plain, name, deadline)
    except BaseException:
        plain.close()
        raise


def _send_udp(settings: AtnaSettings, messages: Sequence[bytes]) -> None:
    """Nothing tells whether a datagram arrives."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(settings.timeout_s)
            for message in messages:
                connection.sendto(message[:LARGEST_DATAGRAM], address)
    except OSError as error:
        raise _unreachable(settings, error) from error


def _unreachable(settings: AtnaSettings, error: OSError) -> RepositoryError:
    where = f"audit record repository {settings.host}:{settings.port}"
    if isinstance(error, ssl.SSLError):
        return RepositoryError(
            explain(error), where, "see the certificate files of [atna] and [tls], and server_name"
        )
    what = error.strerror or str(error) or "no answer in time"
    return RepositoryError(what, where, "see the [atna] settings and whether the receiver runs")
