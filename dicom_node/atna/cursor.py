"""How far the audit log was sent: rows by number and hash, in a file that survives a power cut.

A file and no table: it belongs to one destination and not to the log, and a log that is restored from a backup must not
bring back a cursor that says more was sent than is in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.audit import GENESIS_HASH, hash_numbered, newest_number
from storage.audit_head import RowMark
from storage.database import Database
from storage.durable import write_durable
from storage.errors import explained_os_errors

KEPT = 64  # marks; the newest that a restored log holds is where it goes on
BEGINNING = RowMark(0, GENESIS_HASH)


@dataclass(frozen=True)
class Position:
    """After which row to go on. `lost`: a row that was sent and that the log does not hold any more."""

    after: RowMark
    lost: RowMark | None = None


def read_marks(file: Path) -> tuple[RowMark, ...]:
    """What was sent, newest last; BEGINNING where the file is not there or damaged. Raises StorageError."""
    if not file.exists():
        return (BEGINNING,)
    with explained_os_errors(file):
        text = file.read_text(encoding="utf-8", errors="replace")
    try:
        marks = tuple(RowMark(int(number), str(digest)) for number, digest in json.loads(text)["sent"])
    except (ValueError, TypeError, KeyError):
        marks = ()
    return marks or (BEGINNING,)


def thinned(marks: Sequence[RowMark]) -> list[RowMark]:
    """Not more than KEPT: the newer half whole, of the older ones every second, so that some reach far back."""
    if len(marks) <= KEPT:
        return list(marks)
    newer = KEPT // 2
    return [*marks[:-newer:2], *marks[-newer:]]


def write_marks(file: Path, marks: Sequence[RowMark]) -> None:
    """Keep these marks. Raises StorageError."""
    sent = [[mark.number, mark.hash] for mark in marks]
    write_durable(file, json.dumps({"sent": sent}).encode("ascii"))


def find_position(db: Database, marks: Sequence[RowMark]) -> Position:
    """After the newest mark that the log holds: normally the last one."""
    for mark in reversed(marks):
        if mark == BEGINNING or hash_numbered(db, mark.number) == mark.hash:
            return Position(mark, None if mark == marks[-1] else marks[-1])
    return Position(BEGINNING, marks[-1] if marks else None)


def begin_here(db: Database, file: Path) -> bool:
    """At the start of a node that never sent: with this start, not with years of history; whether it never did.

    Before anything of this start is in the log, so that a node that is killed a moment later has lost nothing.
    Raises StorageError.
    """
    if file.exists():
        return False
    number = newest_number(db)
    write_marks(file, [RowMark(number, hash_numbered(db, number) or GENESIS_HASH)])
    return True
