"""What a supervised process may do. Imported in child processes: next to nothing else comes with it."""

import os
import signal
from multiprocessing.connection import Connection

from dicom_node.processes import obey_supervisor
from dicom_node.settings import Settings


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
