"""The audit log: append-only rows, each chained to the one before it by a hash.

UIDs, AE titles, addresses and counts only; no names and no patient identifiers.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, text

from storage.database import Database
from storage.errors import UnreadableRow
from storage.schema import audit, time_text

GENESIS_HASH = "0" * 64  # stands before the first row
TRUNCATED = "log_truncated_from"  # in the detail of a row that was written after rows at the end had vanished
UNREADABLE = "audit-row-unreadable"
UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)
PAGE_ROWS = 500
HIGHEST_NUMBER = text("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")  # that was ever given


@dataclass(frozen=True)
class AuditEntry:
    """One row of the log."""

    number: int
    at: datetime
    event: str
    series_instance_uid: str | None
    actor: str
    detail: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class Verification:
    """What checking the chain found; `last_hash` stands for the whole log."""

    ok: bool
    rows: int
    last_hash: str
    first_bad: int | None = None
    problem: str | None = None


def append(
    connection: Connection,
    event: str,
    now: datetime,
    *,
    series_instance_uid: str | None = None,
    actor: str,
    detail: Mapping[str, object],
) -> None:
    """Add one row inside the caller's `Database.transaction()`, so that it stands or falls with it.

    Where rows at the end have vanished, the row says so in its detail: numbers that are given anew would else hide it.
    """
    newest = select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    number = 1 if last is None else last.number + 1
    highest = connection.execute(HIGHEST_NUMBER).scalar() or 0
    if highest >= number:
        detail = {**detail, TRUNCATED: highest}
    row = {
        "number": number,
        "at": time_text(now),
        "event": event,
        "series_instance_uid": series_instance_uid,
        "actor": actor,
        "detail": dict(detail),
        "previous_hash": GENESIS_HASH if last is None else last.hash,
    }
    values = {**row, "detail": canonical_json(detail), "hash": hash_row(row)}
    connection.execute(insert(audit).values(values))


def record(
    db: Database,
    event: str,
    now: datetime,
    *,
    series_instance_uid: str | None = None,
    actor: str,
    detail: Mapping[str, object],
) -> None:
    """Add one row in a transaction of its own, for an event that changes no state."""
    with db.transaction() as connection:
        append(connection, event, now, series_instance_uid=series_instance_uid, actor=actor, detail=detail)


def hash_row(row: Mapping[str, object]) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON of everything in a row but its own hash."""
    return sha256(canonical_json(row).encode()).hexdigest()


def canonical_json(value: Mapping[str, object]) -> str:
    """JSON that has one form only: keys sorted, no spaces, ASCII. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def entries(
    db: Database,
    series_instance_uid: str | None = None,
    event: str | None = None,
    limit: int | None = None,
    numbers: tuple[int, int] | None = None,
) -> Iterator[AuditEntry]:
    """The rows that match, oldest first; with `limit`, the newest so many of them.

    `numbers`: only from the first to the second, both included.
    """
    wanted = list(_conditions(series_instance_uid, event))
    if numbers is not None:
        wanted.append(audit.c.number.between(*numbers))
    if limit is not None:
        wanted.append(audit.c.number >= _oldest_of_newest(db, wanted, limit))
        if limit < 1:
            return
    last = 0
    while page := _page(db, [*wanted, audit.c.number > last]):
        yield from page
        last = page[-1].number


def _conditions(series_instance_uid: str | None, event: str | None) -> Iterator[ColumnElement[bool]]:
    if series_instance_uid is not None:
        yield audit.c.series_instance_uid == series_instance_uid
    if event is not None:
        yield audit.c.event == event


def newest_entry(db: Database) -> AuditEntry | None:
    """The last row; None of an empty log."""
    return next(entries(db, limit=1), None)


def newest_number(db: Database) -> int:
    """The number of the last row, readable or not; 0 of an empty log."""
    with db.read() as connection:
        return int(connection.execute(select(func.max(audit.c.number))).scalar() or 0)


def hash_numbered(db: Database, number: int) -> str | None:
    """The hash that stands in the row with this number, readable or not; None where there is none."""
    with db.read() as connection:
        return connection.execute(select(audit.c.hash).where(audit.c.number == number)).scalar()


def entries_after(db: Database, number: int, limit: int) -> list[AuditEntry]:
    """The rows that follow the one with this number, oldest first, `limit` at most.

    One that was changed so that it cannot be read is there as an `UNREADABLE` event, so that those behind it are seen.
    """
    query = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(limit)
    with db.read() as connection:
        return [_entry_or_stand_in(row._asdict()) for row in connection.execute(query)]


def _oldest_of_newest(db: Database, wanted: list[ColumnElement[bool]], limit: int) -> int:
    newest = select(audit.c.number).where(*wanted).order_by(audit.c.number.desc()).limit(limit)
    with db.read() as connection:
        numbers = connection.execute(newest).scalars().all()
    return numbers[-1] if numbers else 0


def _page(db: Database, wanted: list[ColumnElement[bool]]) -> list[AuditEntry]:
    """A page at a time: an open read would keep SQLite from truncating its log."""
    query = select(audit).where(*wanted).order_by(audit.c.number).limit(PAGE_ROWS)
    with db.read() as connection:
        rows = connection.execute(query).all()
    return [_entry(row._asdict()) for row in rows]


def _entry(row: dict[str, Any]) -> AuditEntry:
    try:
        return AuditEntry(**{**row, "at": datetime.fromisoformat(row["at"]), "detail": json.loads(row["detail"])})
    except (ValueError, TypeError) as error:
        raise UnreadableRow(row["number"]) from error


def _entry_or_stand_in(row: dict[str, Any]) -> AuditEntry:
    try:
        return _entry(row)
    except UnreadableRow as error:
        said = {"event": UNREADABLE, "at": UNKNOWN_TIME, "actor": "node", "detail": {"problem": str(error)}}
        return AuditEntry(**{**row, **said})


def verify(db: Database) -> Verification:
    """Check each row against its hash and the row before it, and that none is missing, up to a bad one."""
    checked, last_hash = 0, GENESIS_HASH
    with db.read() as connection:
        highest = connection.execute(HIGHEST_NUMBER).scalar() or 0
        in_pages = connection.execution_options(yield_per=PAGE_ROWS)
        for row in in_pages.execute(select(audit).order_by(audit.c.number)):
            problem = check_row(row._asdict(), checked + 1, last_hash)
            if problem is not None:
                first_bad = min(row.number, checked + 1)
                return Verification(False, checked, last_hash, first_bad, problem)
            checked, last_hash = checked + 1, row.hash
    if highest > checked:
        problem = f"rows {checked + 1} to {highest} at the end are missing"
        return Verification(False, checked, last_hash, checked + 1, problem)
    return Verification(True, checked, last_hash)


def check_row(row: Mapping[str, Any], expected_number: int, previous_hash: str) -> str | None:
    """What is wrong with a row, as the table has it, that is to have this number and follow the row with this hash."""
    if row["number"] != expected_number:
        return f"row {expected_number} is missing: row {row['number']} follows row {expected_number - 1}"
    if row["previous_hash"] != previous_hash:
        return f"row {expected_number} does not continue the row before it: one of them was changed or moved"
    if not _hash_fits(row):
        return f"row {expected_number} was changed: its hash does not fit its content"
    detail = json.loads(row["detail"])
    if isinstance(detail, dict) and (highest := detail.get(TRUNCATED)) is not None:
        return (
            f"rows {expected_number} to {highest} were removed before this row {expected_number} was written"
        )
    return None


def _hash_fits(row: Mapping[str, Any]) -> bool:
    content = {name: value for name, value in row.items() if name != "hash"}
    try:
        content["detail"] = json.loads(row["detail"])
        return canonical_json(content["detail"]) == row["detail"] and hash_row(content) == row["hash"]
    except (ValueError, TypeError):
        return False  # detail is no JSON that this module wrote
