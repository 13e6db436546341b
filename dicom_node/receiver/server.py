"""The receiver: a storage SCP that makes every instance durable before it says Success."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import structlog
from pydicom.datadict import tag_for_keyword
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.clock import system_clock
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.network_library import configure_pynetdicom
from dicom_node.receiver.associations import ECHOES, AssociationBook
from dicom_node.receiver.contexts import supported_contexts
from dicom_node.receiver.messages import guard_messages
from dicom_node.receiver.newcomers import Newcomers
from dicom_node.receiver.reconcile import reconcile
from dicom_node.receiver.registrar import Registrar
from dicom_node.receiver.store import SUCCESS, Intake, store_instance
from dicom_node.receiver.transport import limit_silence, read_in_bulk
from dicom_node.settings import ReceiverSettings, Settings
from storage.database import open_database
from storage.durable import ensure_folder, remove_temporary_files
from storage.spool import Spool

GIB = 1024**3
LOOK_AFTER_S = 1.0  # how often the registrar is looked after
GRACE_S = 2.0  # how long open associations may go on when the receiver is to stop

log = structlog.get_logger(__name__)


def run_receiver(settings: Settings, stop: threading.Event, ready: Callable[[], None] | None = None) -> None:
    """Receive instances until `stop` is set; `ready` is called when associations are accepted.

    Raises:
        NodeError: it cannot listen, or its database thread has ended.
        StorageError: the database cannot be opened.
    """
    with open_receiver(settings) as receiver:
        if ready is not None:
            ready()
        while not stop.wait(LOOK_AFTER_S):
            if not receiver.registrar.alive:
                raise NodeError("the registrar has ended", where="receiver", retry_helps=True)
        log.info("receiver stops")


class Receiver:
    """A running receiver: its port, and the registrar that can be waited for."""

    def __init__(self, server: ThreadedAssociationServer, registrar: Registrar) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self.registrar = registrar

    @property
    def associations(self) -> list[Association]:
        """Those that are open, and connections on which none was asked for yet."""
        return list(self._server.active_associations)


@contextmanager
def open_receiver(settings: Settings) -> Iterator[Receiver]:
    """A receiver that runs inside the `with` block; at its end associations end and rows are written."""
    configure_pynetdicom()
    folders = Folders(settings.storage.folder)
    ensure_folder(folders.spool)
    tags = _tags(settings.assembly.announced_count_attributes)
    db = open_database(folders.database)
    spool = Spool(folders.spool)
    remove_temporary_files(folders.spool)
    reconcile(db, spool, tags, system_clock)
    registrar = Registrar(db, system_clock)
    book = AssociationBook(registrar, system_clock, record_echoes=settings.audit.record_echoes)
    minimum_free_bytes = int(settings.receiver.minimum_free_gib * GIB)
    intake = Intake(spool, folders.spool, registrar, book, system_clock, minimum_free_bytes, tags)
    try:
        server = _listen(settings, intake)
        log.info("receiver ready", host=settings.receiver.host, port=server.server_address[1])
        try:
            yield Receiver(server, registrar)
        finally:
            _end(server, book)
    finally:
        registrar.close()
        db.close()


def _tags(keywords: tuple[str, ...]) -> tuple[int, ...]:
    tags = {keyword: tag_for_keyword(keyword) for keyword in keywords}
    unknown = [keyword for keyword, tag in tags.items() if tag is None]
    if unknown:
        raise NodeError(
            f"unknown attributes: {', '.join(unknown)}",
            where="assembly.announced_count_attributes",
            advice="use keywords of PS3.6",
        )
    return tuple(tag for tag in tags.values() if tag is not None)


def _listen(settings: Settings, intake: Intake) -> ThreadedAssociationServer:
    receiver = settings.receiver
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_CONN_OPEN, _opened, [receiver.acse_timeout_s]),
        (evt.EVT_CONN_OPEN, Newcomers(max(1, receiver.maximum_associations // 2)).opened),
        (evt.EVT_ACCEPTED, _accepted, [receiver.network_timeout_s]),
        (evt.EVT_CONN_CLOSE, _let_go),
        (evt.EVT_C_ECHO, _echo, [intake.associations]),
        (evt.EVT_C_STORE, store_instance, [intake]),
        *intake.associations.handlers,
    ]
    try:
        resolved = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_STREAM)[0][4]
        server = _entity(settings).start_server(
            (str(resolved[0]), receiver.port),
            block=False,
            evt_handlers=handlers,
            contexts=supported_contexts(),
        )
        return cast(ThreadedAssociationServer, server)
    except OSError as error:
        raise NodeError(
            f"cannot listen: {error.strerror}",
            where=f"{receiver.host}:{receiver.port}",
            retry_helps=True,
            advice="check receiver.host and receiver.port, and whether another program listens there",
        ) from error


def _entity(settings: Settings) -> AE:
    receiver: ReceiverSettings = settings.receiver
    entity = AE(ae_title=settings.node.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_associations = receiver.maximum_associations
    entity.maximum_pdu_size = receiver.maximum_pdu_bytes
    entity.acse_timeout = receiver.acse_timeout_s
    entity.dimse_timeout = receiver.dimse_timeout_s
    entity.network_timeout = receiver.network_timeout_s
    entity.require_called_aet = True
    entity.require_calling_aet = list(receiver.calling_ae_titles)
    return entity


def _opened(event: evt.Event, timeout_s: float) -> None:
    connection = event.assoc.dul.socket
    if connection is not None:
        read_in_bulk(connection)
        limit_silence(connection, timeout_s)
        guard_messages(event.assoc)


def _accepted(event: evt.Event, timeout_s: float) -> None:
    connection = event.assoc.dul.socket
    if connection is not None:
        limit_silence(connection, timeout_s)


def _let_go(event: evt.Event) -> None:
    """A peer that leaves before it asks for an association (a monitor's probe) gives its place back at once.

    pynetdicom waits for the request until acse_timeout_s; None in the queue is what it takes a timeout for.
    """
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)


def _echo(event: evt.Event, associations: AssociationBook) -> int:
    associations.count(event.assoc, ECHOES)
    return SUCCESS


def _end(server: ThreadedAssociationServer, book: AssociationBook) -> None:
    """Take no new association, let the open ones go on for a moment, abort what is left."""
    server.shutdown()
    associations: list[Association] = server.active_associations
    for association in associations:
        association.join(GRACE_S / len(associations))
    for association in associations:
        if association.is_alive():
            association.abort()
            association.join(GRACE_S)
    book.close()
