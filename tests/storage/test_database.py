"""Opening, migrating and using the database, from several processes and after a crash."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from alembic.command import upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import IntegrityError

from storage import schema
from storage.audit import verify
from storage.database import MIGRATIONS, Database, open_database
from storage.delivery_moves import read_deliveries
from storage.errors import CorruptDatabase, DiskFull, StorageError

DEADLINE_S = 30.0
OPENERS = 3
ADD_SERIES = text(
    """INSERT INTO series (series_instance_uid, study_instance_uid, state, revision, instance_count,
                           conflicting, urgent, sender_ae_title, first_received_at, last_received_at,
                           attempts, crashes)
       VALUES (:uid, '1', 'RECEIVING', 1, 0, 0, 0, 'A', 't', 't', 0, 0)"""
)


def count_series(db: Database) -> int:
    with db.read() as connection:
        return connection.execute(text("SELECT count(*) FROM series")).scalar_one()


def test_settings_of_every_connection(tmp_path: Path) -> None:
    db = open_database(tmp_path / "node.sqlite3")
    with db.transaction() as first, db.read() as second:
        for connection in (first, second):
            asked = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert asked == ["wal", 2, 1, 30_000]
    db.close()


def test_files_are_private(tmp_path: Path) -> None:
    db = open_database(tmp_path / "folder" / "node.sqlite3")
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "folder").iterdir()}
    db.close()
    assert modes == dict.fromkeys(
        ("node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm", "node.sqlite3.lock"), 0o600
    )
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_migrated_tables_are_those_of_the_schema(db: Database) -> None:
    with db.read() as connection:
        inspector = inspect(connection)
        for table in schema.metadata.sorted_tables:
            columns = {column["name"] for column in inspector.get_columns(table.name)}
            assert columns == set(table.columns.keys()), table.name


def test_newest_migration_is_the_one_the_schema_names() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == schema.SCHEMA_REVISION


def test_rows_stay_when_it_is_opened_again(tmp_path: Path) -> None:
    db = open_database(tmp_path / "node.sqlite3")
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
    db.close()
    again = open_database(tmp_path / "node.sqlite3")
    assert count_series(again) == 1
    again.close()


def test_an_error_rolls_back(db: Database) -> None:
    with pytest.raises(KeyError), db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
        raise KeyError
    assert count_series(db) == 0


def test_readers_see_only_what_is_committed_and_do_not_wait(db: Database) -> None:
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
        assert count_series(db) == 0
    assert count_series(db) == 1


@pytest.mark.parametrize(
    "change",
    [
        "state = 'LOST'",
        "state = 'FAILED'",
        "state = 'FAILED', failed_from = 'QUEUED'",
        "failed_from = 'QUEUED'",
        "state = 'ANALYSED'",
        "state = 'ANALYSED', outcome = 'analysed', concluded_at = 't'",
        "state = 'REFUSED', outcome = 'refused', concluded_at = 't'",
        "state = 'DELIVERING'",
        "state = 'DONE', outcome = 'refused', refusal_code = 'x', concluded_at = 't'",
        "outcome = 'refused', refusal_code = 'x', concluded_at = 't'",
        "lease_owner = 'me', lease_expires_at = 't'",
        "state = 'QUEUED', lease_owner = 'me'",
        "attempts = -1",
        "revision = 0",
        "announced_instances = 0",
    ],
)
def test_the_database_itself_refuses_a_broken_series(db: Database, change: str) -> None:
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
    with pytest.raises(IntegrityError, match="CHECK"), db.transaction() as connection:
        connection.execute(text(f"UPDATE series SET {change}"))


def test_the_database_itself_refuses_rows_of_no_series(db: Database) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), db.transaction() as connection:
        connection.execute(
            text("""INSERT INTO deliveries (series_id, revision, destination, state, attempts, created_at)
                    VALUES (99, 1, 'PACS', 'PENDING', 0, 't')""")
        )


def test_two_pending_deliveries_to_one_destination_are_refused(db: Database) -> None:
    add = text("""INSERT INTO deliveries (series_id, revision, destination, state, attempts, created_at)
                  VALUES (1, :revision, 'PACS', 'PENDING', 0, 't')""")
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "1"})
        connection.execute(add, {"revision": 1})
    with pytest.raises(IntegrityError, match="UNIQUE"), db.transaction() as connection:
        connection.execute(add, {"revision": 2})


def open_and_write(path: Path, number: int, told: Connection) -> None:
    told.recv()
    db = open_database(path)
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": str(number)})
    db.close()
    told.send("done")


def test_three_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "node.sqlite3"
    pipes, processes = [], []
    for number in range(OPENERS):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=open_and_write, args=(path, number, theirs)))
        pipes.append(ours)
        processes[-1].start()
    for pipe in pipes:
        pipe.send("go")
    for pipe, process in zip(pipes, processes, strict=True):
        assert pipe.poll(DEADLINE_S) and pipe.recv() == "done"
        process.join(DEADLINE_S)
    db = open_database(path)
    assert count_series(db) == OPENERS
    db.close()


def die_in_a_transaction(path: Path, told: Connection) -> None:
    db = open_database(path)
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "committed"})
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "not committed"})
        told.send("inside")
        told.recv()  # nothing is ever sent: killed here


def test_a_killed_transaction_leaves_nothing_and_holds_nobody_up(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    path = tmp_path / "node.sqlite3"
    process = context.Process(target=die_in_a_transaction, args=(path, theirs))
    process.start()
    assert ours.poll(DEADLINE_S) and ours.recv() == "inside"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(DEADLINE_S)
    db = open_database(path)
    assert count_series(db) == 1
    with db.transaction() as connection:
        connection.execute(ADD_SERIES, {"uid": "after"})
    assert count_series(db) == 2
    db.close()


DIE_WHILE_MIGRATING = """
import os, signal, sqlite3, sys
from pathlib import Path
from alembic import op
import storage.database as database
execute = op.execute
def execute_or_die(statement):
    if "CREATE TRIGGER" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
    execute(statement)
op.execute = execute_or_die
database.open_database(Path(sys.argv[1]))
"""


def test_a_killed_migration_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", DIE_WHILE_MIGRATING, str(path)], cwd=root, check=False, timeout=DEADLINE_S
    )
    assert process.returncode == -signal.SIGKILL
    db = open_database(path)
    assert count_series(db) == 0
    assert verify(db).ok
    db.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"
    open_database(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StorageError, match="newer version") as caught:
        open_database(path)
    assert caught.value.advice


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"
    path.write_bytes(b"no database at all, " * 500)
    with pytest.raises(CorruptDatabase) as caught:
        open_database(path)
    assert caught.value.where == str(path)
    assert path.read_bytes().startswith(b"no database"), "kept as it was"


def test_a_full_disk_is_reported_and_the_transaction_undone(db: Database) -> None:
    with pytest.raises(DiskFull), db.transaction() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        for number in range(1000):
            connection.execute(ADD_SERIES, {"uid": str(number) * 200})
    assert count_series(db) == 0


def test_a_lock_held_too_long_is_reported(db: Database) -> None:
    other = open_database(db.path)
    with db.transaction(), pytest.raises(StorageError, match="locked") as caught:
        with other.read() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        with other.transaction():
            raise AssertionError("two write transactions at once")
    other.close()
    assert caught.value.retry_helps


def test_deliveries_of_the_first_schema_hold_all_results(tmp_path: Path) -> None:
    """A node that was updated while results waited in its outbox sends them as they were meant."""
    path = tmp_path / "node.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, "0001")
        connection.execute(ADD_SERIES, {"uid": "1.2"})
        for role in ("seg", "sr"):
            connection.exec_driver_sql(
                "INSERT INTO results (series_id, revision, role, sop_class_uid, sop_instance_uid, series_instance_uid,"
                " path, sha256, size, created_at) VALUES (1, 1, ?, '1', ?, '2', ?, ?, 9, ?)",
                (role, role, role, "a" * 64, "2026-01-15T10:00:00.000000Z"),
            )
        connection.exec_driver_sql(
            "INSERT INTO deliveries (series_id, revision, destination, state, attempts, created_at)"
            " VALUES (1, 1, 'pacs', 'PENDING', 0, '2026-01-15T10:00:00.000000Z')"
        )
    engine.dispose()
    db = open_database(path)
    with db.read() as connection:
        (row,) = read_deliveries(connection)
    db.close()
    assert row.roles is None and [one.role for one in row.objects] == ["seg", "sr"]
