"""Files that are on the disk, whole, when the function returns."""

import errno
import os
import secrets
import shutil
from pathlib import Path

from storage.errors import explained_os_errors

TEMPORARY_SUFFIX = ".tmp"
FILE_MODE = 0o600  # medical data: the account of the node and nobody else
FOLDER_MODE = 0o700


def write_durable(path: Path, data: bytes) -> None:
    """Write or replace `path` so that after a power cut it holds either the old bytes or all of the new ones.

    Written beside, fsynced, renamed, folder fsynced (as borg's SaveFile does). Missing folders are made.

    Raises:
        DiskFull: no space is left.
        StorageError: the operating system refused for another reason.
    """
    ensure_folder(path.parent)
    with explained_os_errors(path):
        temporary = write_temporary(path, data)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def create_durable(path: Path, data: bytes) -> bool:
    """Write `path` as `write_durable` does, unless it is there already; whether it was written.

    A link never overwrites, so that of two processes one wins, and both find the same whole file. Raises as
    `write_durable`.
    """
    ensure_folder(path.parent)
    with explained_os_errors(path):
        temporary = write_temporary(path, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
        return True


def ensure_folder(path: Path) -> None:
    """Make `path` and its missing parents (mode 0700), each durable in the folder above it."""
    with explained_os_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            sync_folder(folder.parent)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file stands where a folder is needed")


def free_bytes(path: Path) -> int:
    """Bytes that this account may still write at `path`, or at its nearest parent that exists."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    with explained_os_errors(there):
        status = os.statvfs(there)
    return status.f_bavail * status.f_frsize


def remove_temporary_files(root: Path) -> int:
    """Remove files and folders that interrupted work left below `root`; how many. Only while nobody writes there."""
    with explained_os_errors(root):
        leftovers = sorted(root.rglob(f"*{TEMPORARY_SUFFIX}"), reverse=True)  # what is in a folder before the folder
        for leftover in leftovers:
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
    return len(leftovers)


def write_temporary(path: Path, *parts: bytes) -> Path:
    """Write `parts` to a new, fsynced file beside `path`; its name. Raises OSError, leaving nothing."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
            for part in parts:
                _write_all(file.fileno(), part)
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_tree(root: Path) -> None:
    """Make the names in `root` and in every folder below it durable. Raises StorageError."""
    with explained_os_errors(root):
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
