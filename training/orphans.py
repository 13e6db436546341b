"""Processes that make phantoms for another do not outlive it."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """For a worker of a pool: ends this process as soon as its parent is gone, however that came about.

    A pool's worker holds both ends of the queue that it waits at, so that it would wait for ever for a parent that was
    killed. What it is making is of no use to anyone else.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
