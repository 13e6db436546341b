"""The audit log as JSON Lines or CSV."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TextIO

from sqlalchemy import func, select

from storage.audit import AuditEntry, canonical_json, entries
from storage.database import Database
from storage.schema import audit, time_text

COLUMNS = tuple(field.name for field in fields(AuditEntry))
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run what a peer chose as its AE title


def entries_of_period(db: Database, since: datetime | None, until: datetime | None) -> Iterator[AuditEntry]:
    """Every row from the first to the last of the period; `until` is exclusive.

    By number, so that the chain is whole: where the clock was set back, rows between them bear other times.
    """
    at, number = audit.c.at, audit.c.number
    bounds = [
        *([at >= time_text(since)] if since is not None else []),
        *([at < time_text(until)] if until is not None else []),
    ]
    with db.read() as connection:
        first, last = connection.execute(select(func.min(number), func.max(number)).where(*bounds)).one()
    if first is not None:
        yield from entries(db, numbers=(first, last))


class CountedRows:
    """The rows of an iterable, to be gone through once; afterwards how many there were, the first and the last."""

    def __init__(self, rows: Iterable[AuditEntry]) -> None:
        self._rows = rows
        self.count = 0
        self.first: AuditEntry | None = None
        self.last: AuditEntry | None = None

    def __iter__(self) -> Iterator[AuditEntry]:
        for row in self._rows:
            self.count, self.first, self.last = self.count + 1, self.first or row, row
            yield row


def write_json_lines(entries: Iterable[AuditEntry], stream: TextIO) -> None:
    """Write one JSON object a line. Each is what was hashed, and its hash: anyone can verify.

    `hash` is the SHA-256 of the object without it, written with sorted keys, no spaces, in ASCII.
    """
    for entry in entries:
        stream.write(json.dumps(_plain(entry)) + "\n")


def write_csv(entries: Iterable[AuditEntry], stream: TextIO) -> None:
    """Write a header and one row an entry (RFC 4180). `detail` is JSON in one column.

    Open the stream with newline="". What a spreadsheet would take for a formula gets an apostrophe first.
    """
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    for entry in entries:
        row = {**_plain(entry), "detail": canonical_json(entry.detail)}
        writer.writerow({column: _harmless(value) for column, value in row.items()})


def _plain(entry: AuditEntry) -> dict[str, Any]:
    return {**asdict(entry), "at": time_text(entry.at)}


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_MARKS) else value
