"""A limit on the time that a piece of work may take: past it the process ends, wherever it hangs."""

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OVERTIME_EXIT_CODE = -signal.SIGALRM  # as multiprocessing tells of a process that the timer ended
TRACE_WITHIN_S = 2.0  # between the stack traces in the log and the end of the process


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the process where the block takes longer than `seconds`; call it from the main thread.

    The kernel's timer ends it and no code of ours, which would wait for Python's lock where a library or a driver
    hangs with it held. The stack of every thread goes to standard error before: which function hung, and no values.
    The timer does not follow the clock on the wall.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.dump_traceback_later(seconds, file=sys.stderr)
    signal.setitimer(signal.ITIMER_REAL, seconds + TRACE_WITHIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
