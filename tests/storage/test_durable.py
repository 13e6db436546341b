"""Durable files: whole or not at all, and the operating system's refusals explained."""

import errno
import os
from pathlib import Path

import pytest

from storage.durable import create_durable, ensure_folder, free_bytes, remove_temporary_files, write_durable
from storage.errors import DiskFull, StorageError


def refuse_with(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)


def name_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_bytes_folders_and_modes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.dcm"
    write_durable(path, b"one")
    write_durable(path, b"two!")
    assert path.read_bytes() == b"two!"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["file.dcm"]


def test_file_and_folder_are_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(name_of(descriptor))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_durable(tmp_path / "file", b"data")
    assert len(synced) == 2
    assert synced[0].startswith(str(tmp_path / "file.")), "the bytes first, under the temporary name"
    assert synced[1] == str(tmp_path)


def test_the_parent_of_each_new_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(name_of(descriptor)))
    ensure_folder(tmp_path / "a" / "b")
    assert synced == [str(tmp_path), str(tmp_path / "a")]


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_durable(path, b"old")
    refuse_with(monkeypatch, "write", errno.ENOSPC)
    with pytest.raises(DiskFull) as caught:
        write_durable(path, b"new")
    assert caught.value.where == str(path)
    assert caught.value.retry_helps
    assert caught.value.advice
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_read_only_file_system_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_with(monkeypatch, "open", errno.EROFS)
    with pytest.raises(StorageError) as caught:
        write_durable(tmp_path / "file", b"new")
    assert not isinstance(caught.value, DiskFull)
    assert not caught.value.retry_helps
    assert "read-only" in caught.value.advice


def test_a_file_where_a_folder_is_needed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        ensure_folder(tmp_path / "a")


def test_only_temporary_files_are_removed(tmp_path: Path) -> None:
    kept = tmp_path / "spool" / "a" / "1.dcm"
    write_durable(kept, b"kept")
    (kept.parent / "2.dcm.0123456789abcdef.tmp").write_bytes(b"half")
    (tmp_path / "results.npz.tmp").write_bytes(b"half")
    (tmp_path / "transcoded-1.tmp").mkdir()
    (tmp_path / "transcoded-1.tmp" / "sr.dcm").write_bytes(b"copy")
    assert remove_temporary_files(tmp_path) == 3
    assert not (tmp_path / "transcoded-1.tmp").exists()
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [kept]


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = free_bytes(tmp_path / "not" / "yet")
    assert abs(free - status.f_bavail * status.f_frsize) < 2**30, "of the file system that it would be on"


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "key"
    assert create_durable(path, b"first")
    assert not create_durable(path, b"second")
    assert path.read_bytes() == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]
