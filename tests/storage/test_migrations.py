"""A node that is updated finds every delivery as it was, whatever version wrote the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from storage.database import open_database
from storage.delivery_moves import read_deliveries
from storage.outbox import claim_delivery, stored
from storage.states import DeliveryState
from tests.support.old_databases import ROWS, old_database

NOW = datetime(2026, 1, 15, 11, tzinfo=UTC)
LEASE = timedelta(minutes=5)


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_deliveries_of_every_state_survive_the_table_that_is_made_anew(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "node.sqlite3"
    old_database(path, revision)
    db = open_database(path)
    columns = "id, destination, state, attempts, not_before, lease_owner, lease_expires_at, statuses, last_error,"
    columns += " created_at, ended_at, roles"
    with db.read() as connection:
        kept = connection.execute(text(f"SELECT {columns} FROM deliveries ORDER BY id")).all()
        rows = {row.destination: row for row in read_deliveries(connection)}
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    assert [tuple(row) for row in kept] == ROWS
    assert [one.role for one in rows["waiting"].outstanding] == ["seg"]
    assert [one.role for one in rows["sending"].outstanding] == ["seg", "sr"]
    assert {(row.asked, row.committed, row.transaction_uid) for row in rows.values()} == {(0, None, None)}
    db.close()


def test_an_old_delivery_takes_the_new_way(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"
    old_database(path, "0003")
    db = open_database(path)
    claim = claim_delivery(db, "waiting", "router:2:waiting", NOW, LEASE)
    assert claim is not None
    stored(db, claim, [], NOW)
    with db.read() as connection:
        states = {row.destination: row.state for row in read_deliveries(connection)}
    assert states["waiting"] == DeliveryState.STORED
    db.close()


@pytest.mark.parametrize(
    "change",
    [
        "state = 'LOST'",
        "state = 'STORED', attempts = 0",
        "state = 'STORED', ended_at = 'now'",
        "state = 'DELIVERED', ended_at = 'now', lease_owner = 'a', lease_expires_at = 'b'",
        "asked = 1",
        "transaction_uid = '2.25.1'",
        "requested_at = 'now'",
    ],
)
def test_the_database_itself_refuses_a_broken_delivery(tmp_path: Path, change: str) -> None:
    path = tmp_path / "node.sqlite3"
    old_database(path, "0003")
    db = open_database(path)
    with pytest.raises(IntegrityError), db.transaction() as connection:
        connection.execute(text(f"UPDATE deliveries SET {change} WHERE destination = 'waiting'"))
    db.close()


def test_one_delivery_to_a_destination_is_under_way_at_a_time(tmp_path: Path) -> None:
    """Also while the commitment to the earlier one is waited for."""
    path = tmp_path / "node.sqlite3"
    old_database(path, "0003")
    db = open_database(path)
    with db.transaction() as connection:
        connection.execute(text("UPDATE deliveries SET state = 'STORED' WHERE destination = 'waiting'"))
    with pytest.raises(IntegrityError), db.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO deliveries (series_id, revision, destination, state, attempts, created_at)"
                " VALUES (7, 2, 'waiting', 'PENDING', 0, 'now')"
            )
        )
    db.close()
