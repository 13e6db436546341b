"""A limit on the time that a piece of work may take: past it the process ends, wherever it hangs.

The kernel's timer ends it and no code of ours, which would wait for Python's lock where a library or a driver hangs
with it held. The stack of every thread goes to standard error before: which function hung, and no values. The timer
does not follow the clock on the wall.
"""

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OVERTIME_EXIT_CODE = -signal.SIGALRM  # as multiprocessing tells of a process that the timer ended
TRACE_WITHIN_S = 2.0  # between the stack traces in the log and the end of the process
LOOK_S = 1.0  # between two looks at which steps are under way


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the process where the block takes longer than `seconds`; call it from the main thread."""
    _arm(seconds)
    try:
        yield
    finally:
        _disarm()


class StepTimes:
    """Since when each thread has been at its present step."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What the thread of this name does within the block is one step."""
        self._began[name] = self._monotonic()
        try:
            yield
        finally:
            del self._began[name]

    def longest_s(self) -> float:
        """How long the oldest of the steps has taken so far; 0 where nobody works."""
        began = tuple(self._began.values())  # in one piece: other threads write meanwhile
        return max((self._monotonic() - one for one in began), default=0.0)


def watch_steps(times: StepTimes, limit_s: float, stop: threading.Event) -> None:
    """Until `stop`: end the process where a step takes longer than `limit_s`; call it from the main thread.

    As long as no step has, the timer is set anew at each look. One that has ended late by then is forgiven.
    """
    try:
        while True:
            left_s = limit_s - times.longest_s()
            if left_s > 0:
                _arm(left_s)
            if stop.wait(LOOK_S):
                return
    finally:
        _disarm()


def _arm(seconds: float) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.dump_traceback_later(seconds, file=sys.stderr)
    signal.setitimer(signal.ITIMER_REAL, seconds + TRACE_WITHIN_S)


def _disarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
