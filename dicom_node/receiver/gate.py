"""The gate: an address that is rejected again and again is not heard for a while, and gets one audit row for all."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network

import structlog

from dicom_node.clock import Clock
from dicom_node.receiver.registrar import AuditNote
from dicom_node.remotes import plain_address

# A sender with a wrong AE title tries a few times a minute, and its operator sees each answer; who guesses tries more.
FREE_REJECTIONS = 20  # in a window
WINDOW_S = 60.0
SHUT_S = 60.0
REMEMBERED_ADDRESSES = 1000
_SITE_PREFIX = 64  # bits of an IPv6 address that one machine does not choose itself (RFC 4291 section 2.5.4)

log = structlog.get_logger(__name__)


@dataclass
class _Visitor:
    """What is remembered of an address; times in seconds of the monotonic clock."""

    window_ends: float
    rejections: int = 0
    shut_until: float | None = None
    shut_since: datetime | None = None
    unheard: int = 0
    unwritten: int = 0
    deferrals: int = 0
    known: bool = False


class Gate:
    """Counts rejections by address. Holds no more than `REMEMBERED_ADDRESSES`; those that came last stay.

    An address from which an association was accepted is never shut out: a known sender may share it with the
    one that is in error, and what it sends must come in. Its surplus rejections get one row too.
    """

    def __init__(
        self, note: Callable[[AuditNote], None], clock: Clock, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._note = note
        self._clock = clock
        self._seconds = seconds
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._rows: list[AuditNote] = []
        self._lock = threading.Lock()

    def lets_in(self, address: str) -> bool:
        """Whether a connection from there is heard."""
        with self._lock:
            visitor = self._visitors.get(_site(address))
            if visitor is None or visitor.known or not self._is_shut(visitor):
                return True
            visitor.unheard += 1
            return False

    def accepted(self, address: str) -> None:
        """An association from there was accepted."""
        with self._lock:
            self._visit(address).known = True

    def rejected(self, address: str) -> bool:
        """A caller from there was rejected; whether that gets an audit row of its own."""
        with self._lock:
            visitor = self._visit(address)
            if self._is_shut(visitor):
                visitor.unwritten += 1
                return False
            visitor.rejections += 1
            if visitor.rejections >= FREE_REJECTIONS:
                visitor.shut_until, visitor.shut_since = self._seconds() + SHUT_S, self._clock()
                log.warning("too many rejections", address=address, shut_out=not visitor.known, seconds=SHUT_S)
            return True

    def deferred(self, address: str) -> bool:
        """A caller from there was rejected for the moment; whether that gets an audit row."""
        with self._lock:
            visitor = self._visit(address)
            visitor.deferrals += 1
            return visitor.deferrals <= FREE_REJECTIONS

    def look_around(self, *, closing: bool = False) -> None:
        """Write the row of each address whose time has passed; when closing, of every one.

        To be called now and then, from a thread that may wait for the database: no other method writes a row.
        """
        with self._lock:
            for site, visitor in self._visitors.items():
                if visitor.shut_until is not None and (closing or not self._is_shut(visitor)):
                    self._close(site, visitor)
            rows, self._rows = self._rows, []
        for row in rows:
            self._note(row)

    def _is_shut(self, visitor: _Visitor) -> bool:
        return visitor.shut_until is not None and self._seconds() < visitor.shut_until

    def _visit(self, address: str) -> _Visitor:
        site, now = _site(address), self._seconds()
        visitor = self._visitors.setdefault(site, _Visitor(now + WINDOW_S))
        self._visitors.move_to_end(site)
        if visitor.shut_until is not None and not self._is_shut(visitor):
            self._close(site, visitor)
        if now >= visitor.window_ends:
            visitor.window_ends, visitor.rejections, visitor.deferrals = now + WINDOW_S, 0, 0
        self._forget()
        return visitor

    def _forget(self) -> None:
        """Strangers before known senders."""
        while len(self._visitors) > REMEMBERED_ADDRESSES:
            strangers = (site for site, one in self._visitors.items() if not one.known)
            site = next(strangers, next(iter(self._visitors)))
            visitor = self._visitors.pop(site)
            if visitor.shut_until is not None:
                self._close(site, visitor)

    def _close(self, site: str, visitor: _Visitor) -> None:
        """One row for all that was not written or not heard; the address begins anew."""
        since = visitor.shut_since.isoformat() if visitor.shut_since else ""
        detail = {
            "address": site,
            "since": since,
            "connections_refused": visitor.unheard,
            "rejections_without_a_row": visitor.unwritten,
        }
        self._rows.append(AuditNote("address-shut-out", "node", detail))
        visitor.shut_until = visitor.shut_since = None
        visitor.rejections = visitor.unheard = visitor.unwritten = 0


def _site(address: str) -> str:
    """An IPv4 address, or the network that a machine picks its IPv6 addresses from."""
    parsed = plain_address(address)
    if isinstance(parsed, IPv6Address) and not parsed.is_loopback:
        return str(IPv6Network((int(parsed), _SITE_PREFIX), strict=False))
    return str(parsed)
