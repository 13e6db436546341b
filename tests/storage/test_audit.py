"""The audit log: rows are added and never changed, and a change from outside is found."""

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.audit import (
    GENESIS_HASH,
    AuditEntry,
    append,
    entries,
    entries_after,
    newest_entry,
    record,
    verify,
)
from storage.database import Database
from storage.errors import StorageError
from tests.storage.stages import START, Node

TRIGGERS = ("audit_refuses_update", "audit_refuses_delete", "audit_appends_only")
ROWS = 8


@pytest.fixture
def filled(db: Database) -> Database:
    for number in range(1, ROWS + 1):
        uid = f"1.{number % 2}"
        at = START + timedelta(seconds=number)
        record(db, f"event-{number % 3}", at, series_instance_uid=uid, actor="node", detail={"count": number})
    return db


def entry_numbered(db: Database, number: int) -> AuditEntry | None:
    """The row with this number; None where there is none."""
    return next(entries(db, numbers=(number, number)), None)


def tamper(path: Path, *statements: str) -> None:
    """As somebody with the file and a SQLite shell would."""
    raw = sqlite3.connect(path)
    for trigger in TRIGGERS:
        raw.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


def test_the_hash_is_that_of_the_canonical_row(db: Database) -> None:
    record(db, "node-started", START, actor="node", detail={"port": 11112, "ae_title": "GLIÄ"})
    written_out = (
        '{"actor":"node","at":"2026-03-04T05:06:07.000089Z","detail":{"ae_title":"GLI\\u00c4","port":11112},'
        '"event":"node-started","number":1,"previous_hash":"' + "0" * 64 + '","series_instance_uid":null}'
    )
    (entry,) = entries(db)
    assert entry.hash == sha256(written_out.encode("ascii")).hexdigest()
    assert (entry.number, entry.at, entry.event, entry.actor) == (1, START, "node-started", "node")
    assert entry.detail == {"port": 11112, "ae_title": "GLIÄ"}
    assert entry.previous_hash == GENESIS_HASH


def test_each_row_names_the_one_before(filled: Database) -> None:
    rows = list(entries(filled))
    assert [row.number for row in rows] == list(range(1, ROWS + 1))
    for before, row in zip(rows, rows[1:], strict=False):
        assert row.previous_hash == before.hash


def test_an_untouched_log_verifies(db: Database, filled: Database) -> None:
    found = verify(filled)
    assert (found.ok, found.rows, found.first_bad, found.problem) == (True, ROWS, None, None)
    assert found.last_hash == list(entries(filled))[-1].hash


def test_an_empty_log_verifies(db: Database) -> None:
    assert verify(db).ok
    assert verify(db).rows == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody' WHERE number = 2",
        "UPDATE audit SET number = number + 100",
        "DELETE FROM audit WHERE number = 8",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT number, at, event, series_instance_uid, 'nobody', detail, "
        "previous_hash, hash FROM audit WHERE number = 2",
        "INSERT INTO audit SELECT 100, at, event, series_instance_uid, actor, detail, previous_hash, "
        "substr(hash, 2) || '0' FROM audit WHERE number = 8",
    ],
)
def test_the_database_refuses_changes(filled: Database, statement: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), filled.transaction() as connection:
        connection.execute(text(statement))
    assert verify(filled).rows == ROWS
    assert verify(filled).ok


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        (["UPDATE audit SET actor = 'nobody' WHERE number = 3"], 3),
        (["UPDATE audit SET at = '2026-03-04T05:06:10.000088Z' WHERE number = 3"], 3),
        (["UPDATE audit SET event = 'x' WHERE number = 1"], 1),
        (["UPDATE audit SET series_instance_uid = NULL WHERE number = 8"], 8),
        (["UPDATE audit SET detail = '{\"count\":4}' WHERE number = 3"], 3),
        (['UPDATE audit SET detail = \'{"count":7,"count":3}\' WHERE number = 3'], 3),
        (["UPDATE audit SET detail = 'no JSON' WHERE number = 3"], 3),
        (["DELETE FROM audit WHERE number = 1"], 1),
        (["DELETE FROM audit WHERE number = 5"], 5),
        (["DELETE FROM audit WHERE number = 8"], 8),
        (["DELETE FROM audit"], 1),
        (["DELETE FROM audit WHERE number = 5", "UPDATE audit SET number = number - 1 WHERE number > 5"], 5),
        (
            [
                "UPDATE audit SET number = 100 WHERE number = 4",
                "UPDATE audit SET number = 4 WHERE number = 5",
                "UPDATE audit SET number = 5 WHERE number = 100",
            ],
            4,
        ),
        (["UPDATE audit SET number = 0 WHERE number = 4"], 0),
    ],
)
def test_a_change_from_outside_is_found(filled: Database, statements: list[str], first_bad: int) -> None:
    tamper(filled.path, *statements)
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == first_bad
    assert found.problem


def test_a_row_that_was_rewritten_with_its_hash_breaks_the_chain(filled: Database) -> None:
    row = list(entries(filled))[2]
    changed = {
        "number": 3,
        "at": "2026-03-04T05:06:10.000089Z",
        "event": row.event,
        "series_instance_uid": row.series_instance_uid,
        "actor": "nobody",
        "detail": row.detail,
        "previous_hash": row.previous_hash,
    }
    forged = sha256(json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    tamper(filled.path, f"UPDATE audit SET actor = 'nobody', hash = '{forged}' WHERE number = 3")
    assert verify(filled).first_bad == 4


COLUMNS = ("at", "event", "series_instance_uid", "actor", "detail", "previous_hash", "hash")


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", [1, 4, ROWS])
def test_each_column_of_each_place_is_guarded(filled: Database, column: str, number: int) -> None:
    """One character more, or none where there was one."""
    other = f"substr({column}, 2) || 'f'" if column.endswith("hash") else f"{column} || ' '"
    tamper(filled.path, f"UPDATE audit SET {column} = {other} WHERE number = {number}")
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (1, ROWS), (ROWS - 1, ROWS)])
def test_swapped_rows_are_found(filled: Database, one: int, other: int) -> None:
    tamper(
        filled.path,
        f"UPDATE audit SET number = 100 WHERE number = {one}",
        f"UPDATE audit SET number = {one} WHERE number = {other}",
        f"UPDATE audit SET number = {other} WHERE number = 100",
    )
    assert verify(filled).first_bad == one


@pytest.mark.parametrize("number", [1, 4, ROWS])
def test_a_removed_row_is_found_and_stays_so(filled: Database, number: int) -> None:
    """Also when the node goes on: rows that are written afterwards do not close the gap."""
    tamper(filled.path, f"DELETE FROM audit WHERE number = {number}")
    assert verify(filled).first_bad == number
    for _ in range(3):
        record(filled, "node-started", START, actor="node", detail={})
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


def test_rows_written_after_a_truncation_say_so(filled: Database) -> None:
    tamper(filled.path, "DELETE FROM audit WHERE number > 5")
    record(filled, "node-started", START, actor="node", detail={"port": 1})
    assert entry_numbered(filled, 6).detail == {"port": 1, "log_truncated_from": ROWS}  # type: ignore[union-attr]
    for number in range(5):
        record(filled, "event", START, actor="node", detail={"count": number})
    assert "log_truncated_from" not in newest_entry(filled).detail  # type: ignore[union-attr]
    found = verify(filled)
    assert (found.ok, found.first_bad) == (False, 6)
    assert found.problem == f"rows 6 to {ROWS} were removed before this row 6 was written"


@pytest.mark.parametrize("number", [1, 4, ROWS + 1])
def test_an_inserted_row_is_found(filled: Database, number: int) -> None:
    """A copy of another row, and the rows behind it moved up."""
    up = f"UPDATE audit SET number = number + 1000 WHERE number >= {number}"
    down = f"UPDATE audit SET number = number - 999 WHERE number >= {1000 + number}"
    copied = f"""INSERT INTO audit SELECT {number}, at, event, series_instance_uid, actor, detail, previous_hash,
        '{"e" * 64}' FROM audit WHERE number = {2 if number == 1 else 1}"""
    tamper(filled.path, up, down, copied)
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


def forge(path: Path, change: Callable[[AuditEntry], dict[str, object] | None], rows: list[AuditEntry]) -> None:
    """Write every row anew with `change` made (None: the row is gone), all numbers and hashes as they should be."""
    previous, values = "0" * 64, []
    for row in rows:
        changed = change(row)
        if changed is None:
            continue
        content = {
            "number": len(values) + 1,
            "at": row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": row.event,
            "series_instance_uid": row.series_instance_uid,
            "actor": row.actor,
            "detail": row.detail,
            "previous_hash": previous,
            **changed,
        }
        previous = sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        detail = json.dumps(content["detail"], sort_keys=True, separators=(",", ":"))
        values.append({**content, "detail": detail, "hash": previous})
    tamper(path, "DELETE FROM audit")
    raw = sqlite3.connect(path)
    raw.executemany(
        "INSERT INTO audit VALUES (:number, :at, :event, :series_instance_uid, :actor, :detail, :previous_hash, :hash)",
        values,
    )
    raw.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'audit'", (len(values),))
    raw.commit()
    raw.close()


def test_a_chain_that_was_rebuilt_whole_verifies(filled: Database) -> None:
    """What hashes cannot find: whoever may write the database computes them anew. The signed head finds it."""
    rows = list(entries(filled))
    forge(filled.path, lambda row: {"actor": "nobody"} if row.number == 3 else {}, rows)
    assert verify(filled).ok
    assert entry_numbered(filled, 3).actor == "nobody"  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["at = 'yesterday'", "detail = 'no JSON'"])
def test_a_row_that_cannot_be_read_is_named(filled: Database, change: str) -> None:
    tamper(filled.path, f"UPDATE audit SET {change} WHERE number = 3")
    with pytest.raises(StorageError, match="audit row 3: this row was changed"):
        list(entries(filled))


def test_rows_by_number(filled: Database) -> None:
    assert [row.number for row in entries_after(filled, 0, 3)] == [1, 2, 3]
    assert [row.number for row in entries_after(filled, 6, 3)] == [7, 8]
    assert entry_numbered(filled, 9) is None
    assert newest_entry(filled) == entry_numbered(filled, 8)


def test_an_empty_log_has_no_newest_row(db: Database) -> None:
    assert newest_entry(db) is None
    assert entries_after(db, 0, 10) == []


def test_a_row_stands_or_falls_with_its_transaction(db: Database) -> None:
    with pytest.raises(KeyError), db.transaction() as connection:
        append(connection, "first", START, actor="node", detail={})
        append(connection, "second", START, actor="node", detail={})
        raise KeyError
    assert list(entries(db)) == []
    record(db, "third", START, actor="node", detail={})
    assert verify(db).ok


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"series_instance_uid": "1.1"}, [1, 3, 5, 7]),
        ({"event": "event-0"}, [3, 6]),
        ({"series_instance_uid": "1.1", "event": "event-0"}, [3]),
        ({"limit": 3}, [6, 7, 8]),
        ({"series_instance_uid": "1.1", "limit": 2}, [5, 7]),
        ({"limit": 0}, []),
        ({"event": "none", "limit": 5}, []),
    ],
)
def test_rows_that_match(filled: Database, wanted: dict[str, object], numbers: list[int]) -> None:
    assert [entry.number for entry in entries(filled, **wanted)] == numbers  # type: ignore[arg-type]


def test_more_rows_than_a_page(db: Database) -> None:
    with db.transaction() as connection:
        for number in range(1201):
            append(connection, "event", START, actor="node", detail={"count": number})
    assert [entry.detail["count"] for entry in entries(db)] == list(range(1201))
    assert verify(db).rows == 1201


def test_detail_that_is_no_json_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        record(db, "event", START, actor="node", detail={"score": float("nan")})


def test_every_state_of_a_series_has_its_row(make_node: Callable[[], Node]) -> None:
    node = make_node()
    node.publish()
    node.deliver("PACS")
    node.deliver("ARCHIVE")
    assert node.event_names() == [
        "series-opened",
        "series-complete",
        "series-accepted",
        "series-analysed",
        "results-published",
        "delivered",
        "delivered",
        "series-done",
    ]
    assert {entry.series_instance_uid for entry in node.events()} == {"1.2.3"}
