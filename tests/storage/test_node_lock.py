"""One node a folder: the lock is exclusive, tells who holds it, and ends with the process that holds it."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from storage.errors import AlreadyRunning
from storage.node_lock import NodeLock

DEADLINE_S = 20.0


def hold(folder: Path, told: Connection) -> None:
    with NodeLock(folder):
        told.send(os.getpid())
        told.recv()  # nothing is ever sent: held until killed


def test_a_second_node_is_told_who_runs(tmp_path: Path) -> None:
    with NodeLock(tmp_path / "node"):
        with pytest.raises(AlreadyRunning, match=str(os.getpid())) as caught, NodeLock(tmp_path / "node"):
            pass
        assert caught.value.pid == os.getpid()
    with NodeLock(tmp_path / "node"):
        pass


def test_two_folders_are_two_nodes(tmp_path: Path) -> None:
    with NodeLock(tmp_path / "a"), NodeLock(tmp_path / "b"):
        pass


def test_a_killed_node_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(DEADLINE_S)
    pid = ours.recv()
    with pytest.raises(AlreadyRunning) as caught, NodeLock(tmp_path):
        pass
    assert caught.value.pid == pid == process.pid
    process.kill()
    process.join(DEADLINE_S)
    with NodeLock(tmp_path):
        pass
