"""The head of an audit log: what stands for its rows, small enough to be signed and kept elsewhere.

Hashes alone prove little to whoever can write the database: they can be computed anew. A head that was signed and
taken away cannot.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from storage.audit import AuditEntry, canonical_json, check_row, entries, hash_numbered, newest_number
from storage.database import Database
from storage.errors import StorageError

FORMAT = "glia-node audit head 1"
RESTORED = {"backup-restored": "made_at", "database-restored": "backup_made_at"}  # and where it says when it was made


@dataclass(frozen=True)
class RowMark:
    """A row, by its number and hash."""

    number: int
    hash: str


@dataclass(frozen=True)
class LogHead:
    """Which rows there were, when that was said, and by whom.

    since, until, created_at: ISO 8601 in UTC. rows, first, last: what was exported; `previous_hash` stands before the
    first. newest: the last row of the whole log at that time. file_sha256: of the exported file; None of a head alone.
    """

    node: str
    created_at: str
    created_by: str
    since: str | None
    until: str | None
    rows: int
    first: RowMark | None
    previous_hash: str | None
    last: RowMark | None
    newest: RowMark | None
    file_sha256: str | None

    def to_bytes(self) -> bytes:
        """What is signed: canonical JSON in ASCII, one line without its end."""
        return canonical_json({"format": FORMAT, **asdict(self)}).encode("ascii")

    @classmethod
    def from_bytes(cls, line: bytes, where: str) -> "LogHead":
        """Raises StorageError where it is no head, or one of another version."""
        try:
            values = json.loads(line)
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls(**{**values, **{name: _mark(values[name]) for name in ("first", "last", "newest")}})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StorageError(
                "this is no head of an audit log",
                where=where,
                advice="name the .head file that `dicom-node audit export` or `audit head` wrote",
            ) from error


def _mark(values: Mapping[str, Any] | None) -> RowMark | None:
    return None if values is None else RowMark(**values)


def mark_of(entry: AuditEntry | None) -> RowMark | None:
    """The mark of a row, if there is one."""
    return None if entry is None else RowMark(entry.number, entry.hash)


def check_rows(rows: Iterable[Mapping[str, Any]], head: LogHead) -> str | None:
    """What is wrong with exported rows, each an object of the file, against their head; None where nothing is."""
    first = head.first.number if head.first else 1
    previous, count = head.previous_hash or "", 0
    for row in rows:
        problem = _check_object(row, first + count, previous)
        if problem is not None:
            return problem
        previous, count = str(row["hash"]), count + 1
    if count != head.rows:
        return f"the head tells of {head.rows} rows, and the file holds {count}"
    if head.last is not None and (first + count - 1, previous) != (head.last.number, head.last.hash):
        return f"row {first + count - 1} is not the last one that was signed"
    return None


def _check_object(row: Mapping[str, Any], expected_number: int, previous_hash: str) -> str | None:
    """As the table would have it, where the detail is text."""
    missing = (
        {"number", "previous_hash", "hash", "detail"} - row.keys() if isinstance(row, Mapping) else {"number"}
    )
    if missing:
        return f"what stands for row {expected_number} is no row"
    return check_row({**row, "detail": canonical_json(row["detail"])}, expected_number, previous_hash)


def check_log(db: Database, head: LogHead) -> str | None:
    """Whether the log still holds the rows that the head tells of; what is wrong, or None.

    It finds a log whose hashes were all computed anew, and one that was cut off, up to the head's newest row; and says
    where the log itself tells of a backup that was put in its place since.
    """
    problem = _first_difference(db, head)
    return None if problem is None else problem + _told_restore(db, head)


def _first_difference(db: Database, head: LogHead) -> str | None:
    newest = newest_number(db)
    for mark in (head.first, head.last, head.newest):
        if mark is None:
            continue
        found = hash_numbered(db, mark.number)
        if found is None:
            end = f"ends at row {newest}" if newest else "has no rows"
            return f"row {mark.number} was there on {head.created_at}, and the log {end}"
        if found != mark.hash:
            return f"row {mark.number} had another hash on {head.created_at}: the log was written anew since"
    return None


def _told_restore(db: Database, head: LogHead) -> str:
    """What the log itself says of why it is another one: a backup, in the detail's words, that took its place since."""
    rows = sorted((row for event in RESTORED for row in entries(db, event=event)), key=lambda row: row.number)
    since = datetime.fromisoformat(head.created_at)
    for row in rows:
        if row.at >= since:
            made_at = row.detail.get(RESTORED[row.event], "an unknown time")
            return f"; row {row.number} says that the backup of {made_at} was put in its place"
    return ""
