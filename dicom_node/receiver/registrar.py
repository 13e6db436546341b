"""The registrar: a thread that writes what was received into the database, in batches."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from dicom_node.clock import Clock
from dicom_node.errors import NodeError
from storage.audit import append
from storage.database import Database
from storage.errors import StorageError
from storage.reception import ReceivedInstance, record_instances

PLACES = 1000  # entries that may wait for the database; at 0.1 ms a row, 0.1 s of work
PATIENCE_S = 5.0  # how long a sender waits for a place; well below the 30 s that senders wait for an answer
BATCH = 200  # entries written in one transaction
LINGER_S = 1.0  # how long the first entry of a batch waits for others; an end of association ends the wait
FIRST_RETRY_S = 0.1
LONGEST_RETRY_S = 5.0

log = structlog.get_logger(__name__)


class RegistrarBehind(NodeError):
    """The database has not been written for a while: nothing more is taken until it is."""

    def __init__(self) -> None:
        super().__init__(
            "the database cannot be written",
            where="receiver",
            retry_helps=True,
            advice="look for a full disk or a program that holds the database locked",
        )


@dataclass(frozen=True)
class AuditNote:
    """An audit row to be written."""

    event: str
    actor: str
    detail: dict[str, Any]
    series_instance_uid: str | None = None


class Registrar:
    """Writes received instances and audit notes in the order of their arrival, without holding up a sender.

    The spool is the truth: an entry that is lost with the process is found again when the node starts.
    Places are limited, so that a locked database makes senders wait and then fail, instead of filling memory.
    """

    def __init__(
        self, db: Database, clock: Clock, *, places: int = PLACES, patience_s: float = PATIENCE_S
    ) -> None:
        self._db = db
        self._clock = clock
        self._patience_s = patience_s
        self._places = threading.BoundedSemaphore(places)
        self._waiting: deque[ReceivedInstance | AuditNote] = deque()
        self._put_so_far = 0
        self._written = 0  # of these, in their order
        self._changed = threading.Condition()
        self._flushing = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still works; an error that it does not know ends it."""
        return self._thread.is_alive()

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A place for one instance; it is given back where none is registered.

        Raises:
            RegistrarBehind: none became free in time.
        """
        if not self._places.acquire(timeout=self._patience_s):
            raise RegistrarBehind
        place = Place(self)
        try:
            yield place
        finally:
            if not place.taken:
                self._places.release()

    def note(self, note: AuditNote) -> None:
        """Have an audit row written; where the database is behind, the row goes to the log instead."""
        if self._places.acquire(timeout=self._patience_s):
            self._put(note)
        else:
            log.error("audit row cannot be written", audit_event=note.event, actor=note.actor, **note.detail)

    def flush(self) -> None:
        """Write what waits now, without waiting for it to be written."""
        with self._changed:
            self._flushing = True
            self._changed.notify_all()

    def wait_until_written(self, timeout_s: float) -> bool:
        """Wait until what waits now is written, whatever comes meanwhile; whether that was so in time."""
        self.flush()
        with self._changed:
            last = self._put_so_far
            return self._changed.wait_for(lambda: self._written >= last, timeout_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits and end."""
        self._closing.set()
        self.flush()
        self._thread.join(timeout_s)
        if unwritten := self._put_so_far - self._written:
            log.error("entries are left for the next start", entries=unwritten)

    def _put(self, entry: ReceivedInstance | AuditNote) -> None:
        with self._changed:
            self._waiting.append(entry)
            self._put_so_far += 1
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next_batch():
            if not self._write_in_the_end(batch):
                return
            with self._changed:
                self._written += len(batch)
                self._changed.notify_all()
            self._places.release(len(batch))

    def _next_batch(self) -> list[ReceivedInstance | AuditNote]:
        """The next entries, after a short wait for more; none when it is closed and all is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
            self._changed.wait_for(lambda: len(self._waiting) >= BATCH or self._flushing, LINGER_S)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._flushing = self._closing.is_set() or (self._flushing and bool(self._waiting))
            return batch

    def _write_in_the_end(self, batch: list[ReceivedInstance | AuditNote]) -> bool:
        """Write the batch, trying again until it works; whether it did before the registrar was closed."""
        delay = FIRST_RETRY_S
        while True:
            closing = self._closing.is_set()
            try:
                self._write(batch)
                return True
            except StorageError as error:
                log.error("received instances cannot be registered", entries=len(batch), error=str(error))
            if closing:
                return False
            self._closing.wait(delay)
            delay = min(2 * delay, LONGEST_RETRY_S)

    def _write(self, batch: list[ReceivedInstance | AuditNote]) -> None:
        instances = [entry for entry in batch if isinstance(entry, ReceivedInstance)]
        notes = [entry for entry in batch if isinstance(entry, AuditNote)]
        if instances:
            record_instances(self._db, instances, self._clock())
        if notes:
            self._write_notes(notes)
        log.debug("registered", instances=len(instances), notes=len(notes))

    def _write_notes(self, notes: list[AuditNote]) -> None:
        now = self._clock()
        with self._db.transaction() as connection:
            for note in notes:
                append(
                    connection,
                    note.event,
                    now,
                    series_instance_uid=note.series_instance_uid,
                    actor=note.actor,
                    detail=note.detail,
                )


class Place:
    """The right to register one instance."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar
        self.taken = False

    def register(self, instance: ReceivedInstance) -> None:
        """Have a row written for an instance that lies in the spool."""
        self.taken = True
        self._registrar._put(instance)
