"""The lock that keeps a second node off a storage folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from storage.durable import FILE_MODE, ensure_folder
from storage.errors import AlreadyRunning, explained_os_errors

LOCK_FILE = "node.lock"


class NodeLock:
    """Exclusive hold on a storage folder while the context lasts; the kernel lets go when the process dies.

    The file keeps the holder's process id for the message that a second node gets. It is never removed:
    two processes could then hold locks on two files of the same name.

    Raises:
        AlreadyRunning: another process holds the folder.
        StorageError: the lock file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = None

    def __enter__(self) -> "NodeLock":
        ensure_folder(self._path.parent)
        with explained_os_errors(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise AlreadyRunning(pid, str(self._path)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
