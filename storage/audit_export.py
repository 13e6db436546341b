"""The audit log as JSON Lines or CSV."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, TextIO

from storage.audit import AuditEntry, canonical_json
from storage.schema import time_text

COLUMNS = tuple(field.name for field in fields(AuditEntry))
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run what a peer chose as its AE title


def write_json_lines(entries: Iterable[AuditEntry], stream: TextIO) -> int:
    """Write one JSON object a line; how many. Each is what was hashed, and its hash: anyone can verify.

    `hash` is the SHA-256 of the object without it, written with sorted keys, no spaces, in ASCII.
    """
    count = 0
    for entry in entries:
        stream.write(json.dumps(_plain(entry)) + "\n")
        count += 1
    return count


def write_csv(entries: Iterable[AuditEntry], stream: TextIO) -> int:
    """Write a header and one row an entry (RFC 4180); how many entries. `detail` is JSON in one column.

    Open the stream with newline="". What a spreadsheet would take for a formula gets an apostrophe first.
    """
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    count = 0
    for entry in entries:
        row = {**_plain(entry), "detail": canonical_json(entry.detail)}
        writer.writerow({column: _harmless(value) for column, value in row.items()})
        count += 1
    return count


def _plain(entry: AuditEntry) -> dict[str, Any]:
    return {**asdict(entry), "at": time_text(entry.at)}


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_MARKS) else value
