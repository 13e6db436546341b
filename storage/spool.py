"""The spool: every received instance as it came, one file each, durable before its sender hears Success."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from storage.durable import (
    FOLDER_MODE,
    TEMPORARY_SUFFIX,
    ensure_folder,
    sync_folder,
    write_temporary,
)
from storage.errors import explained_os_errors
from storage.folder_lock import lock_folder

SUFFIX = ".dcm"
DELETED_SUFFIX = ".deleted"  # of a series' folder whose files are garbage
KEY_LENGTH = 32  # hexadecimal digits of a hashed UID: 128 bits
CONFLICT_MARK_LENGTH = 16
REMEMBERED_FOLDERS = 10_000


class Arrival(StrEnum):
    """What an instance is beside those that came before it."""

    NEW = "NEW"
    DUPLICATE = "DUPLICATE"  # the same bytes are there already
    CONFLICT = "CONFLICT"  # other bytes are there already under this SOP Instance UID


@dataclass(frozen=True)
class StoredInstance:
    """A received instance on the disk; `path` is relative to the spool, `sha256` is that of the data set."""

    path: str
    sha256: str
    size: int
    arrival: Arrival


class Spool:
    """The folder `root`; safe for several threads and processes at once.

    A file is `<hash of series UID>/<hash of SOP UID>.dcm`: names are hashes, since UIDs are a peer's bytes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable_folders: set[str] = set()

    def store(
        self, series_instance_uid: str, sop_instance_uid: str, head: bytes, body: bytes
    ) -> StoredInstance:
        """Keep one instance: `head` (preamble and file meta information) followed by `body` (the data set).

        Nothing that is there is ever overwritten. Bytes that differ from an earlier arrival's are kept beside
        it. Two arrivals are equal when their data sets are; `head` must therefore have the same length for
        the same instance, whoever sends it (put no calling AE title into it).

        Raises:
            DiskFull: no space is left; nothing was kept.
            StorageError: the operating system refused for another reason.
        """
        folder, name = series_folder(series_instance_uid), _key(sop_instance_uid)
        digest = sha256(body).hexdigest()
        first = f"{folder}/{name}{SUFFIX}"
        beside = f"{folder}/{name}.{digest[:CONFLICT_MARK_LENGTH]}{SUFFIX}"
        with explained_os_errors(self._root / folder), self._held(folder):
            if self._place(first, head, body):
                path, arrival = first, Arrival.NEW
            elif self._holds(first, head, body):
                path, arrival = first, Arrival.DUPLICATE
            else:
                path = beside
                arrival = Arrival.CONFLICT if self._place(beside, head, body) else Arrival.DUPLICATE
            sync_folder(self._root / folder)  # also for a duplicate: who placed it may not have come this far
        return StoredInstance(path, digest, len(head) + len(body), arrival)

    def absolute(self, relative: str) -> Path:
        """The file that a relative path of this spool stands for."""
        return self._root / relative

    def files(self) -> Iterator[str]:
        """Relative paths of all whole instances, in no particular order; for reconciliation after a crash."""
        if not self._root.is_dir():
            return
        for folder in os.scandir(self._root):
            if folder.is_dir() and not folder.name.endswith((DELETED_SUFFIX, TEMPORARY_SUFFIX)):
                yield from self.files_of(folder.name)

    def files_of(self, folder: str) -> Iterator[str]:
        """Relative paths of all whole instances in the folder of one series; none where it is not there."""
        with suppress(FileNotFoundError):
            names = [entry.name for entry in os.scandir(self._root / folder)]
            yield from (f"{folder}/{name}" for name in names if name.endswith(SUFFIX))

    @contextmanager
    def _held(self, folder: str) -> Iterator[None]:
        """The series' folder is there, and nobody takes it away meanwhile."""
        self._ensure_series_folder(folder)
        while (descriptor := lock_folder(self._root / folder, exclusive=False)) is None:
            self._durable_folders.discard(folder)  # its files were deleted since
            self._ensure_series_folder(folder)
        try:
            yield
        finally:
            os.close(descriptor)

    def _ensure_series_folder(self, folder: str) -> None:
        """Once per series and process the root is fsynced, even when another process made the folder."""
        if folder in self._durable_folders:
            return
        ensure_folder(self._root)
        (self._root / folder).mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(self._root)
        if len(self._durable_folders) >= REMEMBERED_FOLDERS:
            self._durable_folders.clear()
        self._durable_folders.add(folder)

    def _place(self, relative: str, head: bytes, body: bytes) -> bool:
        """Whether the name was free and the bytes now stand there. A link never overwrites."""
        target = self._root / relative
        if target.exists():
            return False
        temporary = write_temporary(target, head, body)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def _holds(self, relative: str, head: bytes, body: bytes) -> bool:
        target = self._root / relative
        if target.stat().st_size != len(head) + len(body):
            return False
        with target.open("rb") as file:
            file.seek(len(head))
            return file.read() == body


def is_conflict_path(relative: str) -> bool:
    """Whether a spool path holds bytes that came after others of the same SOP Instance UID."""
    return "." in Path(relative).name.removesuffix(SUFFIX)


def series_folder(series_instance_uid: str) -> str:
    """The name of the folder that holds the files of a series, here and below findings and results."""
    return _key(series_instance_uid)


def _key(uid: str) -> str:
    return sha256(uid.encode()).hexdigest()[:KEY_LENGTH]
