"""A series' folder is taken away in one step, and whoever writes into it waits or finds the name free."""

import threading
from pathlib import Path

import pytest

from storage.spool import Arrival, Spool, series_folder
from storage.spool_deletion import folders_set_aside, hold_series, remove_set_aside

SERIES, SOP = "1.2.3", "1.2.3.4"
FOLDER = series_folder(SERIES)
DEADLINE_S = 20.0


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_what_is_set_aside_is_no_longer_in_the_spool_and_then_gone(spool: Spool, tmp_path: Path) -> None:
    stored = spool.store(SERIES, SOP, b"", b"body")
    with hold_series(spool, FOLDER) as files:
        assert files.paths == {stored.path}
        assert not files.set_aside_before
        files.set_aside()
    assert list(spool.files()) == []
    assert folders_set_aside(tmp_path) == [FOLDER]
    remove_set_aside(tmp_path, FOLDER)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_that_knew_the_folder_stores_into_a_new_one(spool: Spool, tmp_path: Path) -> None:
    """The receiver remembers folders that it has made; the deletion happens in another process."""
    spool.store(SERIES, SOP, b"", b"body")
    with hold_series(Spool(tmp_path), FOLDER) as files:
        files.set_aside()
    stored = spool.store(SERIES, SOP, b"", b"body")
    assert stored.arrival == Arrival.NEW
    assert spool.absolute(stored.path).read_bytes() == b"body"
    with hold_series(spool, FOLDER) as files:
        assert files.set_aside_before


def test_who_stores_meanwhile_waits_and_is_not_lost(spool: Spool, tmp_path: Path) -> None:
    spool.store(SERIES, SOP, b"", b"body")
    arrivals: list[Arrival] = []
    entered = threading.Event()

    def store() -> None:
        entered.set()
        arrivals.append(Spool(tmp_path).store(SERIES, SOP, b"", b"body").arrival)

    sender = threading.Thread(target=store)
    with hold_series(spool, FOLDER) as files:
        sender.start()
        assert entered.wait(DEADLINE_S)
        assert list(files.paths) == list(spool.files())
        files.set_aside()
        assert arrivals == [], "it waits for the lock"
    sender.join(DEADLINE_S)
    assert arrivals == [Arrival.NEW]
    assert len(list(spool.files())) == 1


def test_a_series_without_a_folder(spool: Spool) -> None:
    with hold_series(spool, FOLDER) as files:
        assert files.paths == frozenset()
        files.set_aside()
    assert folders_set_aside(spool.absolute("")) == []
