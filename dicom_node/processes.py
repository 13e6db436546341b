"""What the node's processes share: how a child is told to stop, and notices that its supervisor is gone."""

import gc
import os
import signal
import threading
from multiprocessing.connection import Connection

STOP = "stop"
ORPHANED_EXIT_STATUS = 70  # EX_SOFTWARE of sysexits.h


def obey_supervisor(commands: Connection) -> threading.Event:
    """The event that is set when the supervisor says stop; when the supervisor vanishes the process exits.

    Children ignore SIGTERM and SIGINT, which a service manager or a terminal sends to the whole group: only the
    supervisor decides. An orphan exits on the spot: everything it was doing is resumed from the last commit by
    the next node, and must not go on beside it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    stop = threading.Event()
    threading.Thread(target=_listen, args=(commands, stop), name="supervisor", daemon=True).start()
    return stop


def spare_what_is_loaded() -> None:
    """Call it when a process has loaded what it keeps: from then on the garbage collector looks at newer objects only.

    Libraries and a model are some 300,000 objects, which it would go through again and again as headers are read: that
    takes as long as the reading.
    """
    gc.collect()
    gc.freeze()


def _listen(commands: Connection, stop: threading.Event) -> None:
    try:
        while True:
            if commands.recv() == STOP:
                stop.set()
    except (EOFError, OSError):
        os._exit(ORPHANED_EXIT_STATUS)
