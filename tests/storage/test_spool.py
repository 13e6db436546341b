"""The spool: what came is kept, nothing is overwritten, and equal bytes are known as such."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import pytest

from storage.errors import DiskFull
from storage.spool import Arrival, Spool, StoredInstance, is_conflict_path

SERIES, SOP = "1.2.840.113619.2.1", "1.2.840.113619.2.1.7"
HEAD = b"\0" * 128 + b"DICM"
SENDERS = 8


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_first_arrival(spool: Spool, tmp_path: Path) -> None:
    stored = spool.store(SERIES, SOP, HEAD, b"body")
    folder, name = (sha256(uid.encode()).hexdigest()[:32] for uid in (SERIES, SOP))
    assert stored == StoredInstance(
        path=f"{folder}/{name}.dcm",
        sha256="230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5",  # printf body | sha256sum
        size=136,
        arrival=Arrival.NEW,
    )
    file = spool.absolute(stored.path)
    assert file == tmp_path / "spool" / folder / f"{name}.dcm"
    assert file.read_bytes() == HEAD + b"body"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_equal_bytes_are_a_duplicate(spool: Spool) -> None:
    first = spool.store(SERIES, SOP, HEAD, b"body")
    again = spool.store(SERIES, SOP, HEAD, b"body")
    assert (again.arrival, again.path) == (Arrival.DUPLICATE, first.path)
    assert list(spool.files()) == [first.path]


def test_another_head_of_the_same_length_is_a_duplicate(spool: Spool) -> None:
    first = spool.store(SERIES, SOP, HEAD, b"body")
    again = spool.store(SERIES, SOP, b"\1" * len(HEAD), b"body")
    assert again.arrival == Arrival.DUPLICATE
    assert spool.absolute(first.path).read_bytes() == HEAD + b"body"


@pytest.mark.parametrize("other", [b"BODY", b"body and more", b"bo", b""])
def test_other_bytes_are_kept_beside_the_first(spool: Spool, other: bytes) -> None:
    first = spool.store(SERIES, SOP, HEAD, b"body")
    conflict = spool.store(SERIES, SOP, HEAD, other)
    assert conflict.arrival == Arrival.CONFLICT
    assert conflict.path == first.path.removesuffix("dcm") + sha256(other).hexdigest()[:16] + ".dcm"
    assert spool.absolute(first.path).read_bytes() == HEAD + b"body"
    assert spool.absolute(conflict.path).read_bytes() == HEAD + other
    again = spool.store(SERIES, SOP, HEAD, other)
    assert (again.arrival, again.path) == (Arrival.DUPLICATE, conflict.path)
    assert sorted(spool.files()) == sorted([first.path, conflict.path])
    assert [is_conflict_path(one.path) for one in (first, conflict)] == [False, True]


def test_uids_never_become_a_path(spool: Spool, tmp_path: Path) -> None:
    stored = spool.store("../../../escape", "/etc/passwd", HEAD, b"body")
    assert spool.absolute(stored.path).resolve().is_relative_to(tmp_path / "spool")


def test_same_instance_from_many_threads_is_placed_once(spool: Spool) -> None:
    start = Barrier(SENDERS)

    def send(number: int) -> Arrival:
        start.wait(10)
        return spool.store(SERIES, SOP, HEAD, b"body" * 50_000).arrival

    with ThreadPoolExecutor(SENDERS) as senders:
        arrivals = list(senders.map(send, range(SENDERS)))
    assert sorted(arrivals) == [Arrival.DUPLICATE] * (SENDERS - 1) + [Arrival.NEW]


def test_different_bytes_from_many_threads_are_all_kept(spool: Spool) -> None:
    start = Barrier(SENDERS)
    bodies = [bytes([number]) * 50_000 for number in range(SENDERS)]

    def send(body: bytes) -> StoredInstance:
        start.wait(10)
        return spool.store(SERIES, SOP, HEAD, body)

    with ThreadPoolExecutor(SENDERS) as senders:
        stored = list(senders.map(send, bodies))
    assert sorted(one.arrival for one in stored) == [Arrival.CONFLICT] * (SENDERS - 1) + [Arrival.NEW]
    for one, body in zip(stored, bodies, strict=True):
        assert spool.absolute(one.path).read_bytes() == HEAD + body
    assert len(set(spool.files())) == SENDERS


def test_costs_two_fsyncs_and_one_more_for_a_new_series(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.store("1.1", "1.1.1", HEAD, b"the root is there now")
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    path = Path(spool.store(SERIES, SOP, HEAD, b"body").path)
    assert synced[0] == "spool"
    assert synced[1].startswith(path.name)
    assert synced[2:] == [path.parent.name]
    synced.clear()
    spool.store(SERIES, f"{SOP}.1", HEAD, b"body")
    assert len(synced) == 2


def test_full_disk_keeps_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(DiskFull):
            spool.store(SERIES, SOP, HEAD, b"body")
    assert list(spool.files()) == []
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert spool.store(SERIES, SOP, HEAD, b"body").arrival == Arrival.NEW


def test_files_leaves_out_what_is_half_written(spool: Spool) -> None:
    assert list(spool.files()) == [], "a spool that was never written to"
    stored = spool.store(SERIES, SOP, HEAD, b"body")
    (spool.absolute(stored.path).parent / "x.dcm.0123456789abcdef.tmp").write_bytes(b"half")
    assert list(spool.files()) == [stored.path]
