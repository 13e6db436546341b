"""Connections that have not asked for an association yet: few at a time, the oldest makes room."""

import threading
from collections import deque

import structlog
from pynetdicom import evt
from pynetdicom.association import Association

from dicom_node.transport import hang_up

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
            _turn_away(association)


def _has_not_asked(association: Association) -> bool:
    connection = association.dul.socket
    return association.requestor.primitive is None and connection is not None and connection.socket is not None


def _turn_away(association: Association) -> None:
    log.warning("connection without an association request is closed", address=association.requestor.address)
    connection = association.dul.socket
    if connection is not None and connection.socket is not None:
        hang_up(connection.socket)
