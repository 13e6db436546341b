"""A power cut while SQLite writes: its log is torn anywhere behind the last commit, and what was committed stays."""

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.audit import record, verify
from storage.database import Database, open_database

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
COMMITS = 12
SQLITE_FULL_SYNC = 2  # PRAGMA synchronous
FRAME_HEAD = 24  # bytes before each page in the log


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return open_database(tmp_path / "node" / "node.sqlite3")


def add(db: Database, number: int) -> None:
    record(db, "tested", NOW, actor="test", detail={"number": number, "filling": "x" * 3000})


def test_a_commit_waits_for_the_disk_on_every_connection(db: Database) -> None:
    for transaction in (db.read, db.transaction, db.read):
        with transaction() as connection:
            pragma = connection.exec_driver_sql
            assert pragma("PRAGMA synchronous").scalar_one() == SQLITE_FULL_SYNC
            assert pragma("PRAGMA journal_mode").scalar_one() == "wal"


def cut(log: bytes, safe: int, chance: random.Random) -> bytes:
    return log[: chance.randint(safe, len(log))]


def overwrite(log: bytes, safe: int, chance: random.Random) -> bytes:
    at = chance.randint(safe, len(log) - 1)
    return log[:at] + chance.randbytes(len(log) - at)


def leave_out_a_page(log: bytes, safe: int, chance: random.Random) -> bytes:
    """The disk wrote later sectors first: one in the middle is still what it was, nothing."""
    at = chance.randint(safe, len(log) - 1)
    size = min(512, len(log) - at)
    return log[:at] + bytes(size) + log[at + size :]


@pytest.mark.parametrize("tear", [cut, overwrite, leave_out_a_page])
def test_the_log_is_torn_behind_the_last_commit(
    db: Database, tmp_path: Path, tear: Callable[[bytes, int, random.Random], bytes]
) -> None:
    chance = random.Random(6)
    log = db.path.with_name("node.sqlite3-wal")
    add(db, 0)
    for number in range(1, COMMITS):
        safe = log.stat().st_size
        add(db, number)
        for attempt in range(5):
            left = tmp_path / f"{number}-{attempt}" / "node.sqlite3"
            left.parent.mkdir()
            shutil.copyfile(db.path, left)
            left.with_name("node.sqlite3-wal").write_bytes(tear(log.read_bytes(), safe, chance))
            recovered = open_database(left)
            verification = verify(recovered)
            recovered.close()
            assert verification.ok and verification.rows in (number, number + 1), (
                number,
                attempt,
                verification,
            )
    db.close()


def test_a_torn_commit_before_the_safe_end_would_be_seen(db: Database, tmp_path: Path) -> None:
    """So the test above can fail: what is torn inside a commit that has returned is lost."""
    log = db.path.with_name("node.sqlite3-wal")
    add(db, 0)
    add(db, 1)
    left = tmp_path / "left" / "node.sqlite3"
    left.parent.mkdir()
    shutil.copyfile(db.path, left)
    left.with_name("node.sqlite3-wal").write_bytes(log.read_bytes()[: -FRAME_HEAD - 1])
    recovered = open_database(left)
    assert verify(recovered).rows < 2
    recovered.close()
    db.close()
