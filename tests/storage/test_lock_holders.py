"""Who holds a database is named, so that the administrator knows which process to look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import database
from storage.database import open_database
from storage.errors import StorageError
from storage.lock_holders import lock_holders

HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "node.sqlite3"
    open_database(path).close()
    return path


def test_nobody_holds_a_database_that_nobody_uses(path: Path) -> None:
    assert lock_holders(path) == []
    assert lock_holders(path.with_name("none")) == []


def test_the_process_that_holds_it_is_named_in_the_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = open_database(path)
    arguments = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        (holder,) = lock_holders(path)
        assert holder.startswith(f"process {other.pid} (")
        assert Path(sys.executable).name in holder
        with db.read() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        with pytest.raises(StorageError, match="locked") as caught, db.transaction():
            raise AssertionError("two write transactions at once")
        other.communicate()
    assert f"process {other.pid}" in caught.value.advice
    assert f"{database.BUSY_TIMEOUT_S:.0f} s" in caught.value.advice
    db.close()


def test_the_process_itself_is_none_of_the_others(path: Path) -> None:
    db = open_database(path)
    with db.transaction():
        assert lock_holders(path) == []
        assert [one.split()[1] for one in lock_holders(path, own_pid=-1)] == [str(os.getpid())]
    db.close()
