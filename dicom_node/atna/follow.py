"""Following the audit log: each row is sent when it is there, in its order, and again until it has arrived.

At least once: the cursor goes on after the receiver has ended the connection, so that a crash in between sends a batch
a second time, with equal octets. Nothing here ends the process that it runs in: the results' way must not depend on
the repository's.
"""

import socket
import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy.exc import OperationalError

from dicom_node.atna.cursor import find_position, read_marks, thinned, write_marks
from dicom_node.atna.events import TELLERS, tell, tell_in_short
from dicom_node.atna.narrator import Narrator
from dicom_node.atna.reporter import Reporter
from dicom_node.atna.syslog import syslog_message
from dicom_node.atna.transport import Send, sender
from dicom_node.clock import Clock
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.patients import patient_key
from dicom_node.retry_delay import retry_delay
from dicom_node.settings import Settings
from storage.audit import AuditEntry, entries_after, record
from storage.audit_head import RowMark
from storage.database import Database
from storage.errors import StorageError, UnreadableRow

BATCH_ROWS = 100  # at most some 300 messages of 2 KiB over one connection
PAUSE_S = 1.0  # between two connections: rows that come together go together
LOG_CHANGED = "audit-log-changed"

log = structlog.get_logger(__name__)


class Follower:
    """Sends the rows of one node's audit log to its repository; one thread uses it."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        clock: Clock,
        *,
        send: Send | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = Folders(settings.storage.folder)
        self._db = db
        self._clock = clock
        self._monotonic = monotonic
        self._atna = settings.atna
        self._send = send or sender(settings.atna, settings.tls)
        self._reporter = Reporter.of(settings, socket.gethostname())
        self._cursor = self._folders.atna_cursor
        self._marks: list[RowMark] = []
        self._batch = BATCH_ROWS
        self._not_before = 0.0
        self._failures = 0

    def follow(self) -> bool:
        """Send the next rows, if any are there and it is time; whether there may be more."""
        if self._monotonic() < self._not_before:
            return False
        try:
            return self._follow()
        except (NodeError, StorageError) as error:
            self._rest(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, deliveries in this process go on
            log.exception("audit messages cannot be made or sent")
            self._rest(f"{type(error).__name__}: {error}")
        return False

    def _follow(self) -> bool:
        self._marks = self._marks or list(read_marks(self._cursor))
        position = find_position(self._db, self._marks)
        if position.lost is not None:
            self._note_lost(position.lost, position.after)
        rows = entries_after(self._db, position.after.number, self._batch)
        if not rows:
            return False
        messages = self._messages(rows)
        self._marks = thinned([*self._marks, RowMark(rows[-1].number, rows[-1].hash)])
        if messages:
            self._deliver(messages)
        elif any(row.event in TELLERS for row in rows):
            write_marks(self._cursor, self._marks)  # or `dicom-node status` would go on counting it as waiting
        return True

    def _note_lost(self, lost: RowMark, after: RowMark) -> None:
        """The log was written anew, or restored: tell, and go on where both agree."""
        problem = f"row {lost.number} is not as it was sent; going on after row {after.number}"
        log.error("the audit log was changed or restored", problem=problem)
        detail = {"problem": problem, "sent": {"number": lost.number, "hash": lost.hash}}
        record(self._db, LOG_CHANGED, self._clock(), actor="node", detail=detail)
        self._marks = self._marks[: self._marks.index(after) + 1] if after in self._marks else [after]
        write_marks(self._cursor, self._marks)

    def _messages(self, rows: Sequence[AuditEntry]) -> list[bytes]:
        narrator = Narrator(self._reporter, self._db, self._folders, patient_key(self._folders.patient_key))
        return [one for row in rows for one in self._encoded(narrator, row)]

    def _encoded(self, narrator: Narrator, row: AuditEntry) -> list[bytes]:
        """A row that cannot be told in full is told in short: it must not hold up those behind it.

        But for a database that does not answer now: the same row is told in full later.
        """
        try:
            return [syslog_message(one, self._reporter.host) for one in tell(narrator, row)]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of this row
            if isinstance(error, (StorageError, OperationalError)) and not isinstance(error, UnreadableRow):
                raise
            log.exception("an audit row cannot be told in full", row=row.number)
            return [syslog_message(tell_in_short(narrator, row, type(error).__name__), self._reporter.host)]

    def _deliver(self, messages: Sequence[bytes]) -> None:
        """The marks are taken back where it fails, so that the same rows are next."""
        try:
            self._send(messages)
            write_marks(self._cursor, self._marks)
        except BaseException:
            self._marks = []
            raise
        self._not_before = self._monotonic() + PAUSE_S
        self._batch = min(2 * self._batch, BATCH_ROWS)
        if self._failures:
            log.info("audit messages arrive again", messages=len(messages), after_failures=self._failures)
        self._failures = 0

    def _rest(self, error: str) -> None:
        """Longer after every failure in a row, never for ever; with fewer rows at once, for a receiver that is slow."""
        self._failures += 1
        delay = retry_delay(self._failures, self._atna.first_delay_s, self._atna.maximum_delay_s).total_seconds()
        self._batch = max(1, self._batch // 2)
        self._not_before = self._monotonic() + delay
        log.warning("audit messages wait", error=error, failures=self._failures, next_try_s=delay)


def send_last(db: Database, settings: Settings, clock: Clock) -> None:
    """One try, when the node has stopped, to send what is left: the stop itself. Else it goes out at the next start."""
    Follower(db, settings, clock).follow()
