"""The receiver: a storage SCP that makes every instance durable before it says Success."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
from pydicom.datadict import tag_for_keyword
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dicom_node.clock import system_clock
from dicom_node.disk_space import floor_bytes
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.message_guard import Gathered, Limits, guard_messages
from dicom_node.network_library import configure_pynetdicom
from dicom_node.receiver.associations import ECHOES, AssociationBook, Welcome
from dicom_node.receiver.commitment import CommitmentDesk
from dicom_node.receiver.commitment_reporter import Reporter
from dicom_node.receiver.contexts import supported_contexts
from dicom_node.receiver.gate import Gate
from dicom_node.receiver.handshakes import Handshakes
from dicom_node.receiver.listener import Listener, start_listener
from dicom_node.receiver.newcomers import Newcomers
from dicom_node.receiver.reconcile import reconcile
from dicom_node.receiver.registrar import Registrar
from dicom_node.receiver.store import SUCCESS, Intake, store_instance
from dicom_node.settings import ReceiverSettings, Settings
from dicom_node.transport import hang_up_after, limit_silence, read_in_bulk, read_request
from storage.database import open_database
from storage.durable import ensure_folder, remove_temporary_files
from storage.spool import Spool

LOOK_AFTER_S = 1.0  # how often the registrar is looked after
CLOSE_WITHIN_S = 2.0  # a peer that has been rejected keeps its place no longer
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
            if not receiver.alive:
                raise NodeError("one of its threads has ended", where="receiver", retry_helps=True)
            receiver.gate.look_around()
            receiver.book.look_around()
        log.info("receiver stops")


class Receiver:
    """A running receiver: its ports (0 where there is none), and the registrar that can be waited for."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        gate: Gate,
        book: AssociationBook,
        registrar: Registrar,
        reporter: Reporter,
    ) -> None:
        self._listeners = listeners
        self.gate = gate
        self.book = book
        self.port = _port_of(one for one in listeners if one.handshakes is None)
        self.tls_port = _port_of(one for one in listeners if one.handshakes is not None)
        self.registrar = registrar
        self._reporter = reporter

    @property
    def alive(self) -> bool:
        """Whether the threads that listen, write and report work; an error that they do not know ends them."""
        listening = all(one.alive for one in self._listeners)
        return listening and self.registrar.alive and self._reporter.alive

    @property
    def associations(self) -> list[Association]:
        """Those that are open, and connections on which none was asked for yet."""
        return [association for one in self._listeners for association in one.active_associations]


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
    gate = Gate(registrar.note, system_clock)
    welcome = Welcome(settings.receiver.calling_ae_titles, settings.remote, gate)
    book = AssociationBook(registrar, system_clock, welcome, record_echoes=settings.audit.record_echoes)
    intake = Intake(spool, folders.spool, registrar, book, system_clock, floor_bytes(settings), tags)
    reporter = Reporter(db, spool, registrar, settings, system_clock)
    desk = CommitmentDesk(db, registrar, book, reporter, settings, system_clock)
    try:
        listeners = _listen(settings, intake, desk, gate)
        ports = [one.server_address[1] for one in listeners]
        log.info("receiver ready", host=settings.receiver.host, port=ports[0], tls_port=settings.receiver.tls_port)
        try:
            yield Receiver(listeners, gate, book, registrar, reporter)
        finally:
            _end(listeners, book, gate)
    finally:
        reporter.close()
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


def _port_of(listeners: Iterable[Listener]) -> int:
    return next((int(one.server_address[1]) for one in listeners), 0)


def _listen(settings: Settings, intake: Intake, desk: CommitmentDesk, gate: Gate) -> list[Listener]:
    """On the plain port, the TLS port, or both, with one limit on associations for all."""
    receiver = settings.receiver
    limits = Limits(gathered=Gathered(), puzzled=gate.rejected)
    entity, handlers = _entity(settings), _handlers(receiver, intake, desk, limits)
    ports: list[tuple[int, Handshakes | None]] = [(receiver.port, None)] if receiver.accept_plain else []
    if receiver.tls_port:
        most = receiver.maximum_associations
        ports.append((receiver.tls_port, Handshakes(settings.tls, most, receiver.acse_timeout_s)))
    listeners: list[Listener] = []
    for port, handshakes in ports:
        try:
            resolved = socket.getaddrinfo(receiver.host, port, type=socket.SOCK_STREAM)[0][4]
            address = (str(resolved[0]), port)
            guards = (gate, intake.registrar, handshakes)
            listeners.append(start_listener(entity, address, supported_contexts(), handlers, *guards))
        except OSError as error:
            for one in listeners:
                one.shutdown()
            raise _cannot_listen(f"{receiver.host}:{port}", error) from error
    return listeners


def _handlers(
    receiver: ReceiverSettings, intake: Intake, desk: CommitmentDesk, limits: Limits
) -> list[evt.EventHandlerType]:
    return [
        (evt.EVT_CONN_OPEN, _opened, [receiver.acse_timeout_s, limits]),
        (evt.EVT_CONN_OPEN, Newcomers(max(1, receiver.maximum_associations // 2)).opened),
        (evt.EVT_REQUESTED, _requested),
        (evt.EVT_ACCEPTED, _accepted, [receiver.network_timeout_s]),
        (evt.EVT_ABORTED, hang_up_after, [CLOSE_WITHIN_S]),
        (evt.EVT_C_ECHO, _echo, [intake.associations]),
        (evt.EVT_C_STORE, store_instance, [intake]),
        *intake.associations.handlers,
        *desk.handlers,
    ]


def _cannot_listen(where: str, error: OSError) -> NodeError:
    return NodeError(
        f"cannot listen: {error.strerror}",
        where=where,
        retry_helps=True,
        advice="check receiver.host and the ports, and whether another program listens there",
    )


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
    return entity


def _opened(event: evt.Event, timeout_s: float, limits: Limits) -> None:
    connection = event.assoc.dul.socket
    if connection is not None:
        read_request(connection)
        limit_silence(connection, timeout_s)
        guard_messages(event.assoc, limits)


def _requested(event: evt.Event) -> None:
    """From here on ARTIM (PS3.8 section 9.1.5) is what a rejected or released peer has for closing its connection."""
    event.assoc.dul.artim_timer.timeout = CLOSE_WITHIN_S


def _accepted(event: evt.Event, timeout_s: float) -> None:
    connection = event.assoc.dul.socket
    if connection is not None:
        read_in_bulk(connection)
        limit_silence(connection, timeout_s)


def _echo(event: evt.Event, associations: AssociationBook) -> int:
    associations.count(event.assoc, ECHOES)
    return SUCCESS


def _end(listeners: Sequence[Listener], book: AssociationBook, gate: Gate) -> None:
    """Take no new association, let the open ones go on for a moment, abort what is left."""
    for listener in listeners:
        listener.shutdown()
    associations = [association for one in listeners for association in one.active_associations]
    for association in associations:
        with suppress(RuntimeError):  # one that came just now, whose thread has not started
            association.join(GRACE_S / len(associations))
    for association in associations:
        if association.is_alive():
            association.abort()
            association.join(GRACE_S)
    book.close()
    gate.look_around(closing=True)
