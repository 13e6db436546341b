"""Who deletes files that rows name, and who copies them, does so alone."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.durable import FILE_MODE
from storage.errors import StorageError, explained_os_errors

LOCK_FILE = "deletion.lock"
PATIENCE_S = 5.0  # deleting one series takes a moment; a backup may take an hour
LOOK_AGAIN_S = 0.02


@contextmanager
def deletions_held_up(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Nobody else deletes, copies or repairs below the storage folder meanwhile.

    Raises:
        StorageError: somebody still did after `patience_s` seconds, or the lock file cannot be made.
    """
    path = folder / LOCK_FILE
    with explained_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        deadline = time.monotonic() + patience_s
        while not _is_taken(descriptor):
            if time.monotonic() > deadline:
                raise StorageError(
                    "files are being copied or deleted",
                    where=str(path),
                    retry_helps=True,
                    advice="a backup, a repair or a purge is at work; try again when it has ended",
                )
            time.sleep(LOOK_AGAIN_S)
        yield
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
