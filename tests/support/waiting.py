"""Waiting for what happens elsewhere: a condition with a deadline, never a pause of guessed length."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
INTERVAL_S = 0.02


def wait_until(
    condition: Callable[[], Value],
    deadline_s: float,
    what: str,
    *,
    context: Callable[[], str] = lambda: "",
    interval_s: float = INTERVAL_S,
) -> Value:
    """The first true value of `condition`, looked at every `interval_s` seconds.

    Raises:
        AssertionError: it was not true within `deadline_s` seconds; `context` (a log's tail) is added.
    """
    pause = threading.Event()
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {what}\n{context()}")
        pause.wait(interval_s)
    return value


def wait_for_event(
    event: threading.Event, deadline_s: float, what: str, *, context: Callable[[], str] = lambda: ""
) -> None:
    """Wait until `event` is set. Raises AssertionError as `wait_until`."""
    if not event.wait(deadline_s):
        raise AssertionError(f"not within {deadline_s:g} s: {what}\n{context()}")
