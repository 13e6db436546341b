"""A power cut, modelled: a second tree beside the first holds only what was fsynced when the power went.

The model is the harshest that POSIX allows. The bytes of a file are those of its last fsync, and none where it never
had one; a folder has the names of its last fsync. What SQLite does is not seen from Python: its files count as they
were when a commit last returned (it runs with synchronous = FULL), and what the log has beyond that survives up to a
byte chosen at random, or is overwritten with rubbish from there.
"""

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATABASE, LOG, INDEX = "node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm"
DURABLE = ".durable"  # ends the name of the tree that is left
RUBBISH_BYTES = 4096


class PowerCut:
    """Follows what is durable below `folder`; `cut` writes it out as a tree beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._content: dict[int, bytes] = {}
        self._names: dict[
            int, dict[str, tuple[int, bool]]
        ] = {}  # of a folder: names, their inodes, whether folders
        self._log_length = 0
        self._log_head = b""
        self._take_stock(folder)
        self._follow_calls()

    def note(self, point: str) -> None:
        """A commit has returned: the log is durable as far as it goes, and SQLite has fsynced its folder."""
        if point.startswith("commit"):
            with self._lock:
                log = self._folder / LOG
                self._log_length, self._log_head = (
                    (log.stat().st_size, _head(log)) if log.exists() else (0, b"")
                )
                self._see_database()

    def cut(self, seed: int) -> None:
        """Write what is left of `folder` beside it."""
        with self._lock:
            left = self._folder.with_name(self._folder.name + DURABLE)
            if left.exists():
                shutil.rmtree(left)
            left.mkdir(mode=0o700)
            self._write_out(self._folder.stat().st_ino, left)
            self._write_database(left, random.Random(seed))

    def _take_stock(self, folder: Path) -> None:
        """What is there before the process begins has been there for long."""
        if not folder.is_dir():
            return
        for root, folders, files in os.walk(folder):
            self._names[Path(root).stat().st_ino] = _names_in(Path(root))
            for name in files:
                path = Path(root) / name
                self._content[path.stat().st_ino] = path.read_bytes()
            del folders
        self.note("commit")

    def _follow_calls(self) -> None:
        os.fsync = self._following_fsync(os.fsync)
        os.open = self._following_open(os.open)  # type: ignore[assignment]
        os.mkdir = self._following_mkdir(os.mkdir)  # type: ignore[assignment]

    def _following_fsync(self, real: Callable[[int], None]) -> Callable[[Any], None]:
        def fsync(file: Any) -> None:
            descriptor = file if isinstance(file, int) else file.fileno()
            with self._lock:
                real(descriptor)
                path = Path(f"/proc/self/fd/{descriptor}")
                number = os.fstat(descriptor).st_ino
                if path.is_dir():
                    self._names[number] = _names_in(path)
                else:
                    self._content[number] = path.read_bytes()

        return fsync

    def _following_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            with self._lock:
                new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
                descriptor = real(path, flags, *arguments, **named)
                if new:  # inode numbers are given out again
                    self._content.pop(os.fstat(descriptor).st_ino, None)
            return descriptor

        return opened

    def _following_mkdir(self, real: Callable[..., None]) -> Callable[..., None]:
        def made(path: Any, *arguments: Any, **named: Any) -> None:
            with self._lock:
                real(path, *arguments, **named)
                self._names[Path(path).stat().st_ino] = {}

        return made

    def _see_database(self) -> None:
        names = self._names.setdefault(self._folder.stat().st_ino, {})
        for name in (DATABASE, LOG):
            path = self._folder / name
            if path.exists():
                names[name] = path.stat().st_ino, False

    def _write_out(self, number: int, target: Path) -> None:
        """The folder with this inode, with the names and bytes that were fsynced."""
        for name, (inode, is_folder) in self._names.get(number, {}).items():
            if name in (DATABASE, LOG, INDEX):
                continue
            if is_folder:
                (target / name).mkdir(mode=0o700)
                self._write_out(inode, target / name)
            else:
                (target / name).write_bytes(self._content.get(inode, b""))

    def _write_database(self, left: Path, chance: random.Random) -> None:
        known = self._names.get(self._folder.stat().st_ino, {})
        if DATABASE not in known:
            return
        shutil.copyfile(self._folder / DATABASE, left / DATABASE)
        log = self._folder / LOG
        if LOG in known and log.exists():
            (left / LOG).write_bytes(self._torn(log.read_bytes(), _head(log), chance))

    def _torn(self, log: bytes, head: bytes, chance: random.Random) -> bytes:
        safe = self._log_length if head == self._log_head else 0  # begun anew: its frames are in the database
        kept = chance.randint(safe, len(log)) if len(log) > safe else safe
        return log[:kept] + (
            chance.randbytes(min(RUBBISH_BYTES, len(log) - kept)) if chance.random() < 0.5 else b""
        )


def _head(log: Path) -> bytes:
    """The log's header, whose salt changes each time that it is begun anew."""
    with log.open("rb") as file:
        return file.read(32)


def _names_in(folder: Path) -> dict[str, tuple[int, bool]]:
    with os.scandir(folder) as entries:
        return {entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in entries}
