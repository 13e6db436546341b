"""A listening port: who is shut out is not heard, and TLS comes before DICOM."""

import errno
import socket
import ssl
import threading
from typing import Any, cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.receiver.gate import Gate
from dicom_node.receiver.handshakes import Handshakes
from dicom_node.receiver.registrar import AuditNote, Registrar
from dicom_node.tls import explain

_GONE = (ssl.SSLEOFError, ConnectionError)

log = structlog.get_logger(__name__)


class Listener(ThreadedAssociationServer):
    """pynetdicom's server; its own TLS would let a peer that falls silent in the handshake hold up all others."""

    daemon_threads = True
    gate: Gate
    registrar: Registrar
    handshakes: Handshakes | None = None
    thread: threading.Thread | None = None

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the connection is heard; the next one waits for this answer."""
        return self.gate.lets_in(str(client_address[0]))

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: from here on it is a peer that may ask for an association."""
        connection = self._secure(request, str(client_address[0])) if self.handshakes else request
        if connection is not None:
            super().finish_request(connection, client_address)

    @property
    def alive(self) -> bool:
        """Whether it still takes connections."""
        return self.thread is not None and self.thread.is_alive()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """In place of a traceback on standard error."""
        log.exception("connection cannot be served", address=str(client_address[0]))

    def shutdown(self) -> None:
        """Take no more connections, and end those that are being made."""
        super().shutdown()
        if self.handshakes is not None:
            self.handshakes.close()

    def _secure(self, connection: socket.socket, address: str) -> socket.socket | None:
        assert self.handshakes is not None
        try:
            return self.handshakes.shake(connection, address)
        except OSError as error:
            if isinstance(error, _GONE) or error.errno == errno.ENOTCONN:  # a port scan or a probe tries nothing
                log.info("peer left before the end of the TLS handshake", address=address)
            else:
                self._note_refusal(address, explain(error))
        return None

    def _note_refusal(self, address: str, reason: str) -> None:
        log.warning("TLS connection refused", address=address, reason=reason)
        if self.gate.rejected(address):
            self.registrar.note(AuditNote("tls-refused", "node", {"address": address, "reason": reason}))


def start_listener(
    entity: AE,
    address: tuple[str, int],
    contexts: list[PresentationContext],
    handlers: list[evt.EventHandlerType],
    gate: Gate,
    registrar: Registrar,
    handshakes: Handshakes | None = None,
) -> Listener:
    """Listen on `address`; with `handshakes`, over TLS. Raises OSError where that is not possible."""
    server = cast(
        Listener,
        entity.make_server(address, contexts=contexts, evt_handlers=handlers, server_class=Listener),
    )
    server.gate, server.registrar, server.handshakes = gate, registrar, handshakes
    entity._servers.append(server)  # counts its associations, and is what `shutdown` takes it from
    name = f"listener-{server.server_address[1]}"
    server.thread = threading.Thread(target=server.serve_forever, name=name, daemon=True)
    server.thread.start()
    return server
