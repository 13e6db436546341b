"""Whether a database file is whole, asked of SQLite itself and without changing anything."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from storage.audit import GENESIS_HASH
from storage.durable import FILE_MODE

MOST_PROBLEMS = 20
PATIENCE_S = 5.0
AUDIT_COLUMNS = ("number", "at", "event", "series_instance_uid", "actor", "detail", "previous_hash", "hash")


@dataclass(frozen=True)
class DatabaseVerdict:
    """Problems in SQLite's own words, none where the file is whole; `locked`: it could not be looked at.

    schema_revision: None where it cannot be read, or no node has made the file.
    """

    problems: tuple[str, ...]
    schema_revision: str | None
    locked: bool = False


def examine_database(path: Path) -> DatabaseVerdict:
    """Check pages, indexes, constraints and references. An empty or missing file is a problem too."""
    if not path.exists():
        return DatabaseVerdict(("the file is not there",), None)
    if path.stat().st_size == 0:
        return DatabaseVerdict(("the file is empty",), None)
    try:
        with closing(_open(path)) as connection:
            problems = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})")]
            broken = [problem for problem in problems if problem != "ok"]
            broken += [
                f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there"
                for row in connection.execute("PRAGMA foreign_key_check").fetchmany(MOST_PROBLEMS)
            ]
    except sqlite3.Error as error:
        locked = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        return DatabaseVerdict((str(error),), schema_revision(path), locked)
    return DatabaseVerdict(tuple(broken), schema_revision(path))


def schema_revision(path: Path) -> str | None:
    """The revision of the tables; None where it cannot be read. Leaves no file behind that was not there."""
    is_open = path.with_name(f"{path.name}-wal").exists()
    try:
        with closing(_open(path, "" if is_open else "&immutable=1")) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def last_audit_row(path: Path) -> tuple[int, str]:
    """Number and hash of the newest audit row. Raises sqlite3.Error where the file is damaged there."""
    with closing(_open(path)) as connection:
        row = connection.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return (0, GENESIS_HASH) if row is None else (int(row[0]), str(row[1]))


def readable_audit_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every audit row that can still be read of a damaged file, from the first until damage and from the last back."""
    seen = 0
    for row in _until_damage(path, "ASC"):
        seen = row["number"]
        yield row
    yield from reversed(list(_until_damage(path, "DESC", f"WHERE number > {seen:d}")))


def _until_damage(path: Path, order: str, condition: str = "") -> Iterator[dict[str, Any]]:
    try:
        with closing(_open(path)) as connection:
            query = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit {condition} ORDER BY number {order}"
            for row in connection.execute(query):
                yield dict(zip(AUDIT_COLUMNS, row, strict=True))
    except (sqlite3.Error, OSError):
        return


def copy_whole(source: Path, target: Path) -> bool:
    """Write every row of `source` to the new file `target`, indexes made anew; whether nothing was lost on the way."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))  # SQLite takes an empty file
        with closing(_open(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error:
        target.unlink(missing_ok=True)
        return False
    verdict = examine_database(target)
    return not verdict.problems and verdict.schema_revision is not None


def _open(path: Path, further: str = "") -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{further}", uri=True, timeout=PATIENCE_S)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection
