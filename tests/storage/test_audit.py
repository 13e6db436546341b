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

from storage.audit import GENESIS_HASH, append, entries, record, verify
from storage.database import Database
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
        ({"since": START + timedelta(seconds=7)}, [7, 8]),
        ({"until": START + timedelta(seconds=3)}, [1, 2]),
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
