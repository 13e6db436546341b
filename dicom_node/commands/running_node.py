"""Whether a node runs on a storage folder."""

import fcntl
import os
from pathlib import Path

from storage.node_lock import LOCK_FILE


def find_running_node(folder: Path) -> int | None:
    """Process id of the node that holds the lock of this folder (`storage.node_lock`); None: none runs.

    Raises:
        OSError: the lock file cannot be read.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        pid = _written_pid(descriptor)
        return pid if pid is not None and _is_locked(descriptor) else None
    finally:
        os.close(descriptor)


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None


def _is_locked(descriptor: int) -> bool:
    """Asked with a shared lock, let go at once; not while a node starts: its file names no process yet."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
