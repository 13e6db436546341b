"""The audit log: rows are added, each with the hash of the one before, and never changed."""

from collections.abc import Callable
from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.audit import GENESIS_HASH, append, entries, entries_after, newest_entry, record, verify
from storage.database import Database
from tests.storage.stages import START, Node
from tests.support.audit_log import ROWS, entry_numbered


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
