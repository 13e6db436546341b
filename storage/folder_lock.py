"""A lock on a folder itself: those who write into it share it, who takes the folder away has it alone."""

import fcntl
import os
from pathlib import Path


def lock_folder(path: Path, *, exclusive: bool) -> int | None:
    """A descriptor that holds the folder until it is closed; None where the folder is gone.

    Waits for the lock. A folder that was taken away while this waited is not the one that has its name now, so that
    the caller makes or opens it anew. The kernel lets go when the process dies.

    Raises:
        OSError: it cannot be opened for another reason.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        if _stands_at(descriptor, path):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _stands_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
