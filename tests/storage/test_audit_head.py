"""The head of a log: what it says, and what does not agree with it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.audit import entries, newest_entry, record, verify
from storage.audit_export import CountedRows, entries_of_period
from storage.audit_head import LogHead, check_log, check_rows, mark_of
from storage.database import Database
from storage.errors import StorageError
from tests.storage.stages import START
from tests.support.audit_log import forge, tamper

ROWS = 8
CREATED = "2026-03-05T00:00:00.000000Z"


@pytest.fixture
def filled(db: Database) -> Database:
    for number in range(1, ROWS + 1):
        at = START + timedelta(seconds=number)
        record(db, "event", at, series_instance_uid="1.2", actor="node", detail={"count": number})
    return db


def head_of(db: Database, first: int = 1, last: int = ROWS) -> LogHead:
    rows = list(entries(db, numbers=(first, last)))
    return LogHead(
        node="GLIANET",
        created_at=CREATED,
        created_by="user:admin",
        since=None,
        until=None,
        rows=len(rows),
        first=mark_of(rows[0]),
        previous_hash=rows[0].previous_hash,
        last=mark_of(rows[-1]),
        newest=mark_of(newest_entry(db)),
        file_sha256="ab" * 32,
    )


def objects_of(db: Database, first: int = 1, last: int = ROWS) -> list[dict[str, Any]]:
    """The rows as an export has them."""
    return [
        {
            "number": row.number,
            "at": row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": row.event,
            "series_instance_uid": row.series_instance_uid,
            "actor": row.actor,
            "detail": row.detail,
            "previous_hash": row.previous_hash,
            "hash": row.hash,
        }
        for row in entries(db, numbers=(first, last))
    ]


def test_what_is_signed_is_one_line_of_canonical_json(filled: Database) -> None:
    line = head_of(filled, 2, 3).to_bytes()
    said = json.loads(line)
    assert line == json.dumps(said, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert said["format"] == "glia-node audit head 1"
    assert (said["first"]["number"], said["last"]["number"], said["newest"]["number"]) == (2, 3, ROWS)
    assert LogHead.from_bytes(line, "here") == head_of(filled, 2, 3)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"none",
        b"[]",
        b'{"format":"glia-node audit head 2"}',
        b'{"format":"glia-node audit head 1"}',
        b"\xff",
    ],
)
def test_what_is_no_head(line: bytes) -> None:
    with pytest.raises(StorageError, match="no head of an audit log"):
        LogHead.from_bytes(line, "here")


@pytest.mark.parametrize(("first", "last"), [(1, ROWS), (3, 6), (5, 5)])
def test_whole_rows_agree(filled: Database, first: int, last: int) -> None:
    assert check_rows(objects_of(filled, first, last), head_of(filled, first, last)) is None


def test_no_rows_agree_with_an_empty_head(filled: Database) -> None:
    empty = replace(head_of(filled), rows=0, first=None, previous_hash=None, last=None)
    assert check_rows([], empty) is None
    assert check_rows(objects_of(filled, 1, 1), empty) is not None


def changed(number: int, **values: object) -> Callable[[list[Any]], list[Any]]:
    return lambda rows: [{**row, **values} if row["number"] == number else row for row in rows]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (changed(4, actor="nobody"), "row 4 was changed"),
        (changed(4, detail={"count": 5}), "row 4 was changed"),
        (changed(3, detail="text"), "row 3 was changed"),
        (changed(4, hash="f" * 64), "row 4 was changed"),
        (lambda rows: rows[1:], "row 3 is missing"),
        (lambda rows: [*rows[:1], *rows[2:]], "row 4 is missing"),
        (lambda rows: rows[:-1], "the head tells of 4 rows, and the file holds 3"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "row 3 is missing"),
        (lambda rows: [rows[0], rows[0], *rows[1:]], "row 4 is missing"),
        (lambda rows: [rows[0], None, *rows[2:]], "what stands for row 4 is no row"),
        (lambda rows: [rows[0], {"number": 4}, *rows[2:]], "what stands for row 4 is no row"),
        (lambda rows: [rows[0], [4], *rows[2:]], "what stands for row 4 is no row"),
    ],
)
def test_a_changed_export_is_found(
    filled: Database, change: Callable[[list[Any]], list[Any]], problem: str
) -> None:
    said = check_rows(change(objects_of(filled, 3, 6)), head_of(filled, 3, 6))
    assert said is not None
    assert problem in said


def test_rows_of_a_rebuilt_chain_do_not_agree(filled: Database) -> None:
    """Whole in themselves, from the first row on; only the head tells them from what there was."""
    head = head_of(filled)
    forge(filled.path, lambda row: {"actor": "nobody"} if row.number == 1 else {}, list(entries(filled)))
    assert check_rows(objects_of(filled), head) == f"row {ROWS} is not the last one that was signed"


def test_a_log_agrees_with_its_earlier_head(filled: Database) -> None:
    head = head_of(filled)
    record(filled, "event", START, actor="node", detail={})
    assert check_log(filled, head) is None


@pytest.mark.parametrize(
    ("forgery", "problem"),
    [
        (
            lambda row: {"actor": "nobody"} if row.number == 3 else {},
            f"row {ROWS} had another hash on {CREATED}",
        ),
        (
            lambda row: None if row.number == 3 else {},
            f"row {ROWS} was there on {CREATED}, and the log ends at row 7",
        ),
        (
            lambda row: None if row.number > 5 else {},
            f"row {ROWS} was there on {CREATED}, and the log ends at row 5",
        ),
        (lambda row: None, f"row 1 was there on {CREATED}, and the log has no rows"),
    ],
    ids=["changed", "removed", "truncated", "emptied"],
)
def test_a_rebuilt_log_is_found_by_the_head(
    filled: Database, forgery: Callable[[Any], dict[str, object] | None], problem: str
) -> None:
    """The chain itself holds: numbers, hashes, and the highest number that SQLite remembers were all forged."""
    head = head_of(filled)
    forge(filled.path, forgery, list(entries(filled)))
    assert verify(filled).ok
    said = check_log(filled, head)
    assert said is not None
    assert said.startswith(problem)


@pytest.mark.parametrize(("event", "key"), [("backup-restored", "made_at"), ("database-restored", "backup_made_at")])
def test_a_backup_that_was_put_in_its_place_is_named(filled: Database, event: str, key: str) -> None:
    """The log of the backup ended at row 5; its restore is row 6, and the node went on."""
    head = replace(head_of(filled), created_at="2026-03-04T06:00:00.000000Z")
    rows = list(entries(filled))
    forge(filled.path, lambda row: None if row.number > 5 else {}, rows)
    record(filled, event, START - timedelta(days=1), actor="user:jo", detail={key: "an earlier one"})
    assert "put in its place" not in str(check_log(filled, head)), "that was before the head"
    record(filled, event, START + timedelta(hours=2), actor="user:jo", detail={key: "2026-03-04"})
    told = "; row 7 says that the backup of 2026-03-04 was put in its place"
    assert str(check_log(filled, head)).endswith(f"and the log ends at row 7{told}")
    record(filled, "event", START + timedelta(hours=3), actor="node", detail={})
    assert str(check_log(filled, head)).endswith(f"the log was written anew since{told}")


def test_what_no_head_finds(filled: Database) -> None:
    """Rows that came after the newest head are not under it: said in the guide, and why heads are taken every day."""
    head = head_of(filled)
    record(filled, "later", START, actor="node", detail={})
    tamper(
        filled.path,
        "DELETE FROM audit WHERE number = 9",
        "UPDATE sqlite_sequence SET seq = 8 WHERE name = 'audit'",
    )
    assert verify(filled).ok
    assert check_log(filled, head) is None


def test_a_period_is_whole_in_numbers(db: Database) -> None:
    """A clock that was set back for two rows: they lie between rows of the period, and the chain needs them."""
    for seconds in (0, 10, 20, -500, -499, 30, 40):
        record(db, "event", START + timedelta(seconds=seconds), actor="node", detail={})
    period = (START + timedelta(seconds=10), START + timedelta(seconds=35))
    rows = CountedRows(entries_of_period(db, *period))
    assert [row.number for row in rows] == [2, 3, 4, 5, 6]
    assert rows.count == 5
    assert rows.first is not None
    assert rows.last is not None
    assert (rows.first.number, rows.last.number) == (2, 6)


def test_an_empty_period(db: Database) -> None:
    record(db, "event", START, actor="node", detail={})
    rows = CountedRows(entries_of_period(db, START + timedelta(seconds=1), None))
    assert list(rows) == []
    assert (rows.count, rows.first, rows.last) == (0, None, None)
    assert [row.number for row in entries_of_period(db, None, None)] == [1]
