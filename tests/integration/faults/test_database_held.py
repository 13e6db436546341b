"""A database that another process holds, or that is damaged when the node starts."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import database
from storage.errors import CorruptDatabase, StorageError
from storage.states import SeriesState
from tests.support.archive import TestArchive
from tests.support.faults_processes import SabotagedNode, planted_series
from tests.support.head_series import send
from tests.support.pipeline import open_pipeline, small_series

SMALL = (8, 16, 16)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody has begun to write and does not end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_stage_that_finds_the_database_held_says_so_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    with open_pipeline(tmp_path / "node") as pipeline:
        series = small_series(tmp_path)
        pipeline.receive(series.files)
        pipeline.quiet()
        with held(pipeline.db.path), pytest.raises(StorageError, match="held the database") as caught:
            pipeline.assemble()
        assert caught.value.retry_helps
        assert pipeline.row(series).state == SeriesState.RECEIVING
        while pipeline.assemble():
            pass
        assert pipeline.row(series).state == SeriesState.QUEUED


def test_instances_are_confirmed_while_the_database_is_held_and_registered_afterwards(
    archive: TestArchive, tmp_path: Path
) -> None:
    """The file is the proof, not the row."""
    series = planted_series(tmp_path, "held up", SMALL)
    with SabotagedNode(tmp_path / "node", {}, [archive.destination]) as node:
        with held(node.database.path):
            send(node.peer, series.files)
            assert node.series(series.uid) is None
        assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        node.check_intact()


def test_a_damaged_database_stops_the_start_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    node = SabotagedNode(tmp_path / "node", {})
    node.storage.mkdir()
    (node.storage / "node.sqlite3").write_bytes(b"no database at all " * 500)
    refused = node.command("serve")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert CorruptDatabase("", "").advice in " ".join(refused.stderr.split())
