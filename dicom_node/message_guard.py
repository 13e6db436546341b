"""What one peer's messages may cost: a bounded amount of memory, and no connection that nobody serves."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_P_ABORT, P_DATA

from dicom_node.transport import hang_up, has_sent

# Bytes of a data set: 2,500 slices of 512 x 512 in one multi-frame object, uncompressed, take 1.3e9.
LARGEST_DATA_SET = 2 * 1024**3
# Bytes of all data sets that are being received at the same time.
LARGEST_GATHERED = 4 * 1024**3
# Bytes of a data set that is no instance: twice what a request for storage commitment may take, which gets an answer.
LARGEST_INFORMATION = 8 * 1024**2
# Bytes of a command set: a C-STORE request (PS3.7 table 9.3-1) takes some hundred.
LARGEST_COMMAND_SET = 64 * 1024
# Reports that one association has served at a time: one may wait for what is being sent to its peer.
MOST_REPORTS = 2
# PS3.8 table 9-7, events
_REQUEST = "Evt6"  # A-ASSOCIATE-RQ received
_ENDS = {"Evt17", "Evt18"}  # the connection is closed, ARTIM has expired
_INVALID_PDU = "Evt19"  # unrecognized or invalid PDU received
_NO_REQUESTS = {"Evt3", "Evt4", "Evt10", "Evt12", "Evt13", "Evt16", _INVALID_PDU}  # other PDUs than that received
# PS3.8 table 9-1, states
_IDLE = "Sta1"  # no association
_ENDING = "Sta13"  # waiting for the connection to be closed
_NORMALIZED = "N_"  # how the library's names of messages begin that are about no instance: no image comes with them
_REPORT = "N_EVENT_REPORT_RQ"

log = structlog.get_logger(__name__)


class MessageTooLarge(ValueError):
    """A message grew beyond what it may hold."""


class Gathered:
    """What the peers together have sent of messages that are not whole yet; over the limit, the largest is given up."""

    def __init__(self, most: int = LARGEST_GATHERED) -> None:
        self._most = most
        self._bytes: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def hold(self, association: Association, size: int) -> None:
        """`size` bytes have come of its message. Raises MessageTooLarge where that is the one to be given up."""
        with self._lock:
            self._bytes[association] = size
            held = {one: size for one, size in self._bytes.items() if one.is_established}
            if sum(held.values()) <= self._most:
                return
            largest = max(held, key=held.__getitem__)
            del self._bytes[largest]
        if largest is association:
            raise MessageTooLarge
        log.warning("too much is being received at once; the largest is given up", address=largest.requestor.address)
        connection = largest.dul.socket
        if connection is not None and connection.socket is not None:
            hang_up(connection.socket)


@dataclass(frozen=True)
class Limits:
    """What a peer may send. puzzled: called with the address of one that sends something else than a request."""

    data_set: int = LARGEST_DATA_SET
    gathered: Gathered | None = None
    puzzled: Callable[[str], object] = lambda _address: None


def guard_messages(association: Association, limits: Limits) -> None:
    """Abort the association on a message that is too large or cannot be decoded; read no message ahead.

    Called when the connection opens. pynetdicom gathers messages without a limit, while an earlier one is served too
    (a peer need not wait for the answer), and starts a thread for each report. Where it cannot understand a command
    set, an association request or an abort, its thread ends: the connection stays open, and nobody is told.
    """
    _Guard(association, limits).begin()


class _Guard:
    def __init__(self, association: Association, limits: Limits) -> None:
        self._association = association
        self._limits = limits
        self._reports = 0
        self._puzzled = False
        self._asked = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        one, dul = self._association, self._association.dul
        dul._is_transport_event = partial(self._read, dul._is_transport_event)  # type: ignore[method-assign]
        one.dimse.receive_primitive = partial(self._receive, one.dimse.receive_primitive)  # type: ignore[method-assign]
        one._serve_request = partial(self._serve, one._serve_request)  # type: ignore[method-assign]
        dul.state_machine.do_action = partial(self._act, dul.state_machine.do_action)  # type: ignore[method-assign]
        one.bind(evt.EVT_DIMSE_RECV, self._received)
        one.bind(evt.EVT_CONN_CLOSE, self._let_go)

    def _act(self, act: Callable[[str], None], event: str) -> None:
        """One step of the protocol, in the library's thread."""
        if self._is_new and self._is_strange(event):
            self._count_puzzled()
        try:
            act(event)
        except Exception as error:  # noqa: BLE001 - what a decoder raises on hostile bytes has no common base
            self._give_up(error)
            return
        if event != _REQUEST:
            return
        if self._association.dul.state_machine.current_state == _ENDING:  # of another version of the protocol
            self._count_puzzled()
        else:
            self._asked = True

    def _is_strange(self, event: str) -> bool:
        """Whether no request comes from this peer: it sent something else, or a part of one."""
        connection = self._association.dul.socket
        began = connection is not None and has_sent(connection)
        return event in _NO_REQUESTS or (event in _ENDS and began)

    def _let_go(self, _event: evt.Event) -> None:
        """A peer that leaves before it asks for an association (a monitor's probe) gives its place back at once.

        pynetdicom waits for the request until acse_timeout_s; None in the queue is what it takes a timeout for. Behind
        a request it would hide that the connection has ended.
        """
        if self._is_new:
            self._association.dul.to_user_queue.put(None)

    def _read(self, read: Callable[[], bool]) -> bool:
        """Read the next PDU, but not while a message waits to be served; whether something was read."""
        waits = not self._association.dimse.msg_queue.empty() or self._reports >= MOST_REPORTS
        if self._association.is_established and waits:
            return False
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)
            return False

    def _receive(self, receive: Callable[[P_DATA], None], primitive: P_DATA) -> None:
        try:
            receive(primitive)
            self._check_size()
        except Exception as error:  # noqa: BLE001 - as above
            log.warning(
                "message cannot be taken; the association is aborted",
                error=type(error).__name__,
                address=self._association.requestor.address,
            )
            self._association.dimse.message = None
            self._association.dul.event_queue.put(_INVALID_PDU)

    def _check_size(self) -> None:
        message = self._association.dimse.message
        size = 0
        if message is not None:
            size = message.data_set.tell() if message.data_set else 0
            normalized = type(message).__name__.startswith(_NORMALIZED)
            most = min(self._limits.data_set, LARGEST_INFORMATION) if normalized else self._limits.data_set
            if message.encoded_command_set.tell() > LARGEST_COMMAND_SET or size > most:
                raise MessageTooLarge
        if self._limits.gathered is not None:
            self._limits.gathered.hold(self._association, size)

    def _received(self, event: evt.Event) -> None:
        """A message is whole; a report gets a thread of its own now."""
        if type(event.message).__name__ == _REPORT:
            with self._lock:
                self._reports += 1

    def _serve(self, serve: Callable[[Any, int], None], message: Any, context_id: int) -> None:
        try:
            serve(message, context_id)
        finally:
            if isinstance(message, N_EVENT_REPORT):
                with self._lock:
                    self._reports = max(0, self._reports - 1)

    @property
    def _is_new(self) -> bool:
        """A peer that has connected, and asked for nothing yet; to be looked at in the library's thread alone."""
        return self._association.is_acceptor and not self._asked

    def _count_puzzled(self) -> None:
        """Once for each connection, whatever else comes over it."""
        if self._association.is_acceptor and not self._puzzled:
            self._puzzled = True
            self._limits.puzzled(self._association.requestor.address)

    def _give_up(self, error: Exception) -> None:
        """End the library's thread as it ends by itself, and tell whoever waits for something from it."""
        association, dul = self._association, self._association.dul
        address = association.requestor.address if association.is_acceptor else association.acceptor.address
        log.warning("a peer sent what is not DICOM; it is hung up", error=type(error).__name__, address=address)
        aborted = A_P_ABORT()
        aborted.provider_reason = 0x00  # PS3.8 section 9.3.8: not specified
        if self._is_new:
            self._count_puzzled()
        dul.to_user_queue.put(None if self._is_new else aborted)  # None: no association was asked for in time
        association.dimse.message = None
        association.dimse.msg_queue.put((None, None))  # nothing more comes
        dul.state_machine.current_state = _IDLE
        dul._kill_thread = True
        if dul.socket is not None:
            dul.socket.close()
