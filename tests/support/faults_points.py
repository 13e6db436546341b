"""Commit points: every call by which the node makes something last, named, so that a fault can be put at each.

Nothing of it is in the node. In a process of a test's own, the calls of the operating system that change the storage
folder, and the commits of the database, are wrapped; each call of the node's code that comes by is a point with a name
such as `link @ storage/spool.py:_place < storage/spool.py:store < dicom_node/receiver/store.py:_spool`.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from storage.database import Database

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("dicom_node", "storage", "glianet")
FRAMES_IN_A_NAME = 3
PLUMBING = ("storage/database.py", "storage/errors.py")  # context managers that every commit passes through
CALLS = ("fsync", "link", "replace", "rename", "unlink", "remove", "mkdir", "rmdir")
CREATING = os.O_CREAT | os.O_TRUNC

Hook = Callable[[str], None]


def watch_points(before: Hook, after: Hook) -> None:
    """From now on call `before` and `after` around each point of this process; `before` may raise in its place.

    For processes of a test's own only: it is never undone.
    """
    for call in CALLS:
        setattr(os, call, _wrapped(getattr(os, call), call, before, after))
    os.open = _wrapped_open(os.open, before, after)  # type: ignore[assignment]
    os.write = _wrapped(os.write, "write", before, after)  # type: ignore[assignment]
    Database.transaction = _wrapped_transaction(Database.transaction, before, after)  # type: ignore[method-assign]


def _wrapped(real: Callable[..., Any], call: str, before: Hook, after: Hook) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        where = _where()
        if where is None:
            return real(*arguments, **named)
        before(f"{call} @ {where}")
        result = real(*arguments, **named)
        after(f"{call} @ {where}")
        return result

    return watched


def _wrapped_open(real: Callable[..., int], before: Hook, after: Hook) -> Callable[..., int]:
    """Opening to read changes nothing."""

    def watched(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        where = _where() if flags & CREATING else None
        if where is None:
            return real(path, flags, *arguments, **named)
        before(f"create @ {where}")
        descriptor = real(path, flags, *arguments, **named)
        after(f"create @ {where}")
        return descriptor

    return watched


def _wrapped_transaction(real: Callable[..., Any], before: Hook, after: Hook) -> Callable[..., Any]:
    @contextmanager
    def watched(database: Database) -> Iterator[Connection]:
        where = _where()
        with real(database) as connection:
            yield connection
            before(f"commit @ {where}")
        after(f"commit @ {where}")

    return watched


def _where() -> str | None:
    """The innermost functions of the node that called; None where it was somebody else."""
    names: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(names) < FRAMES_IN_A_NAME:
        file = frame.f_code.co_filename
        if file.startswith(str(REPOSITORY)):
            name = file[len(str(REPOSITORY)) + 1 :]
            if name.startswith(PACKAGES) and name not in PLUMBING:
                names.append(f"{name}:{frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(names) if names else None
