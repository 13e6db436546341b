"""Which processes hold locks on a database: for the message that it is locked."""

import os
from collections.abc import Iterator
from pathlib import Path

LOCKS = Path("/proc/locks")  # proc(5): number, kind, mode, access, process, device:inode, first and last byte
NAME_LENGTH = 80


def lock_holders(database: Path, own_pid: int | None = None) -> list[str]:
    """The other processes that hold a lock on the database, its log or its index of the log, with their command lines.

    Empty where the system does not tell, as on another system than Linux or for a process in another container.
    """
    files = [database, *(database.with_name(f"{database.name}-{part}") for part in ("wal", "shm"))]
    wanted = set(_identities(files))
    own = os.getpid() if own_pid is None else own_pid
    pids = {pid for pid, identity in _locks() if identity in wanted and pid not in (own, 0)}
    return [f"process {pid} ({_command(pid)})" for pid in sorted(pids)]


def describe_lock_holders(database: Path) -> str:
    """For a message: `lock_holders`, or that it is some other process."""
    return " and ".join(lock_holders(database)) or "another process"


def _identities(files: list[Path]) -> Iterator[tuple[int, int, int]]:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        yield os.major(status.st_dev), os.minor(status.st_dev), status.st_ino


def _locks() -> Iterator[tuple[int, tuple[int, int, int]]]:
    try:
        lines = LOCKS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.replace("->", "").split()
        try:
            major, minor, inode = fields[5].split(":")
            yield int(fields[4]), (int(major, 16), int(minor, 16), int(inode))
        except (IndexError, ValueError):
            continue


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended"
    text = " ".join(word.decode(errors="replace") for word in words if word)
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:NAME_LENGTH] or "unnamed"
