"""What a supervised process may do. Imported in child processes: next to nothing else comes with it."""

import ctypes
import os
import signal
import threading
from multiprocessing.connection import Connection

from dicom_node.processes import obey_supervisor
from dicom_node.settings import Settings
from dicom_node.time_limit import time_limit


def obedient(settings: Settings, commands: Connection) -> None:
    """Ends when it is told to."""
    stop = obey_supervisor(commands)
    (settings.storage.folder / "ready").touch()
    stop.wait()


def deaf(settings: Settings, commands: Connection) -> None:
    """Never ends by itself, whatever it is sent."""
    obey_supervisor(commands)
    (settings.storage.folder / "ready").touch()
    signal.pause()


def doomed(settings: Settings, commands: Connection) -> None:
    """Dies at once."""
    os._exit(3)


def overdue(settings: Settings, commands: Connection) -> None:
    """Hangs in a library that keeps Python's lock, as a driver may."""
    obey_supervisor(commands)
    with time_limit(0.1):
        ctypes.PyDLL(None).pause()


def left_by_a_connection(settings: Settings, commands: Connection) -> None:
    """A receiver that fails, while a connection's thread hangs for which Python would wait at its end."""
    from dicom_node import daemon, receiver
    from dicom_node.errors import NodeError

    def fail(*_: object) -> None:
        threading.Thread(target=threading.Event().wait, daemon=False).start()
        raise NodeError("one of its threads has ended", where="receiver", retry_helps=True)

    receiver.run_receiver = fail  # type: ignore[assignment]
    daemon._receiver(settings, commands)
