"""The daemon: a supervisor that starts receiver, router and worker, and starts again whichever dies."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from dicom_node.clock import system_clock
from dicom_node.folders import Folders
from dicom_node.logs import set_up_logs
from dicom_node.processes import STOP
from dicom_node.settings import Settings
from storage.audit import record
from storage.database import Database, open_database
from storage.durable import ensure_folder, remove_temporary_files
from storage.jobs import release_leases
from storage.node_lock import NodeLock

FIRST_RESTART_DELAY_S = (
    1.0  # doubles with every death in a row, so that a process that cannot start does not spin
)
MAXIMUM_RESTART_DELAY_S = 60.0
HEALTHY_AFTER_S = 60.0  # a process that lived this long starts again with the first delay
STOP_WITHIN_S = 30.0  # a process that has not ended by then is killed; its work resumes at the next start

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises:
        AlreadyRunning: another node works on the same storage folder.
    """
    set_up_logs(settings.log, "supervisor")
    folders = Folders(settings.storage.folder)
    ensure_folder(folders.root)
    with NodeLock(folders.root), _StopSignals() as signals:
        db = open_database(folders.database)
        _recover(db, folders)
        children = _start_all(db, settings)
        record(db, "node-started", system_clock(), actor="node", detail={"ae_title": settings.node.ae_title})
        log.info("node started", ae_title=settings.node.ae_title, port=settings.receiver.port)
        while not signals.stopping:
            _wait_for_news(children, signals)
            _restart_the_dead(children, db)
        log.info("node stops")
        _stop_all(children)
        release_leases(db, None, system_clock(), crashed=False)
        record(db, "node-stopped", system_clock(), actor="node", detail={})
        log.info("node stopped")
        db.close()


def _receiver(settings: Settings, commands: Connection) -> None:
    """Imported in the child only: the supervisor needs none of it."""
    from dicom_node.processes import obey_supervisor
    from dicom_node.receiver import run_receiver

    stop = obey_supervisor(commands)
    set_up_logs(settings.log, "receiver")
    run_receiver(settings, stop)


def _router(settings: Settings, commands: Connection) -> None:
    from dicom_node.router import run_router

    run_router(settings, commands)


def _worker(settings: Settings, commands: Connection) -> None:
    from dicom_node.worker import run_worker

    run_worker(settings, commands)


PROCESSES: dict[str, Callable[[Settings, Connection], None]] = {
    "receiver": _receiver,
    "router": _router,
    "worker": _worker,
}


def _recover(db: Database, folders: Folders) -> None:
    """What a crash or power cut left behind: half-written files and leases of processes that are gone."""
    removed = remove_temporary_files(folders.root)
    crashed = release_leases(db, "worker:", system_clock(), crashed=True)
    released = release_leases(db, None, system_clock(), crashed=False)
    if removed or crashed or released:
        log.warning("recovered after a crash", temporary_files=removed, series=crashed + released)


@dataclass
class _Child:
    """One supervised process."""

    name: str
    settings: Settings
    process: BaseProcess = field(init=False)
    commands: Connection = field(init=False)
    started_at: float = 0.0
    restart_at: float | None = None
    delay_s: float = FIRST_RESTART_DELAY_S

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        theirs, self.commands = context.Pipe(duplex=False)
        self.process = context.Process(
            target=PROCESSES[self.name], args=(self.settings, theirs), name=self.name, daemon=False
        )
        self.process.start()
        theirs.close()
        self.started_at = time.monotonic()
        self.restart_at = None
        log.info("process started", child=self.name, pid=self.process.pid)

    @property
    def owner(self) -> str:
        return f"{self.name}:{self.process.pid}:"


def _start_all(db: Database, settings: Settings) -> list[_Child]:
    children = [_Child(name, settings) for name in PROCESSES]
    for child in children:
        child.start()
    return children


def _wait_for_news(children: list[_Child], signals: "_StopSignals") -> None:
    running = [child.process.sentinel for child in children if child.restart_at is None]
    due = [child.restart_at for child in children if child.restart_at is not None]
    timeout = max(0.0, min(due) - time.monotonic()) if due else None
    wait([*running, signals.wake_up], timeout)


def _restart_the_dead(children: list[_Child], db: Database) -> None:
    for child in children:
        if child.restart_at is None and not child.process.is_alive():
            _note_death(child, db)
        elif child.restart_at is not None and time.monotonic() >= child.restart_at:
            child.start()


def _note_death(child: _Child, db: Database) -> None:
    lived_s = time.monotonic() - child.started_at
    child.delay_s = FIRST_RESTART_DELAY_S if lived_s > HEALTHY_AFTER_S else child.delay_s
    child.restart_at = time.monotonic() + child.delay_s
    child.delay_s = min(child.delay_s * 2, MAXIMUM_RESTART_DELAY_S)
    child.commands.close()
    released = release_leases(db, child.owner, system_clock(), crashed=True)
    detail = {"process": child.name, "exit_status": child.process.exitcode, "series_released": len(released)}
    record(db, "process-died", system_clock(), actor="node", detail=detail)
    log.error("process died; it is started again", **detail)


def _stop_all(children: list[_Child]) -> None:
    alive = [child for child in children if child.restart_at is None and child.process.is_alive()]
    for child in alive:
        try:
            child.commands.send(STOP)
        except OSError:
            log.warning("process ended by itself", process=child.name)
    deadline = time.monotonic() + STOP_WITHIN_S
    for child in alive:
        child.process.join(max(0.0, deadline - time.monotonic()))
        if child.process.is_alive():
            log.warning("process did not stop in time and is killed", process=child.name)
            child.process.kill()
            child.process.join()


class _StopSignals:
    """SIGTERM and SIGINT as something to wait for."""

    def __init__(self) -> None:
        self.stopping = False
        self.wake_up, self._write_end = os.pipe()

    def __enter__(self) -> "_StopSignals":
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self.wake_up)
        os.close(self._write_end)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        os.write(self._write_end, b"!")
