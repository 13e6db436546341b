"""Connections that have not asked for an association yet: few at a time, the oldest makes room."""

import socket
import threading
from collections import deque
from contextlib import suppress

import structlog
from pynetdicom import evt
from pynetdicom.association import Association

log = structlog.get_logger(__name__)


class Newcomers:
    """Keeps connections that say nothing from taking the places of senders.

    A sender asks within milliseconds of connecting, so the oldest connection that has not asked is the least
    likely to be one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Association] = deque()
        self._lock = threading.Lock()

    def opened(self, event: evt.Event) -> None:
        """A connection was opened; where too many wait, the oldest is closed."""
        with self._lock:
            waiting = [one for one in self._waiting if _has_not_asked(one)]
            surplus = waiting[: max(0, len(waiting) + 1 - self._most)]
            self._waiting = deque([*waiting[len(surplus) :], event.assoc])
        for association in surplus:
            _hang_up(association)


def _has_not_asked(association: Association) -> bool:
    return association.requestor.primitive is None and association.dul.socket is not None


def _hang_up(association: Association) -> None:
    """End the connection from this thread: its own thread may be reading, and sees the end."""
    log.warning("connection without an association request is closed", address=association.requestor.address)
    connection = association.dul.socket
    if connection is not None and connection.socket is not None:
        with suppress(OSError):  # it has ended meanwhile
            connection.socket.shutdown(socket.SHUT_RDWR)
