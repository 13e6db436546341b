"""The daemon: a supervisor that starts receiver, router and worker, and starts again whichever dies."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from dicom_node.clock import system_clock
from dicom_node.clock_steps import STEP_S, ClockSteps
from dicom_node.folders import Folders
from dicom_node.logs import set_up_logs
from dicom_node.lost_database import refuse_lost_database
from dicom_node.node_account import refuse_other_account
from dicom_node.patients import make_patient_key
from dicom_node.processes import STOP
from dicom_node.resend_rules import resend_rules
from dicom_node.settings import Settings
from dicom_node.signing import make_signing_key
from dicom_node.time_limit import OVERTIME_EXIT_CODE
from storage.audit import record
from storage.database import Database
from storage.durable import ensure_folder, remove_temporary_files
from storage.errors import StorageError
from storage.migrating import bring_up_to_date, node_version
from storage.node_lock import NodeLock
from storage.recovery import follow_clock, newest_time, release_leases
from storage.schema import SCHEMA_REVISION

FIRST_RESTART_DELAY_S = (
    1.0  # doubles with every death in a row, so that a process that cannot start does not spin
)
MAXIMUM_RESTART_DELAY_S = 60.0
HEALTHY_AFTER_S = 60.0  # a process that lived this long starts again with the first delay
LOOK_AT_CLOCK_S = 10.0  # between two looks whether it was set back
NOTE_AGAIN_S = 5.0  # between two tries to write down a death, where the database cannot be written
PRIVATE = 0o077  # files of the node are its account's alone
RECEIVER_FAILED_EXIT_STATUS = 1
STOP_WITHIN_S = 30.0  # a process that has not ended by then is killed; its work resumes at the next start

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT.

    Raises:
        AlreadyRunning: another node works on the same storage folder.
        NodeError: the database is gone, and what it knew of is there; or the storage folder is another account's.
    """
    set_up_logs(settings.log, "supervisor")
    os.umask(PRIVATE)  # for whatever a library writes; the children inherit it
    folders = Folders(settings.storage.folder)
    ensure_folder(folders.root)
    refuse_other_account(folders.root, "receives")
    with NodeLock(folders.root), _StopSignals() as signals:
        refuse_lost_database(folders)
        db = bring_up_to_date(folders.database, "node", system_clock())
        make_signing_key(folders.signing_key)  # both now, so that every backup has them
        make_patient_key(folders.patient_key)
        _begin_to_tell(db, settings)
        _recover(db, folders)
        children = _start_all(settings)
        _note_start(db, settings)
        steps = ClockSteps()
        while not signals.stopping:
            _wait_for_news(children, signals)
            _follow_clock(db, steps)
            _restart_the_dead(children)
            _note_deaths(children, db)
        log.info("node stops")
        _stop_all(children)
        release_leases(db, None, system_clock(), crashed=False)
        record(db, "node-stopped", system_clock(), actor="node", detail={})
        _tell_repository(db, settings)
        log.info("node stopped")
        db.close()


def _note_start(db: Database, settings: Settings) -> None:
    said = {"ae_title": settings.node.ae_title, "version": node_version(), "schema": SCHEMA_REVISION}
    record(db, "node-started", system_clock(), actor="node", detail=said)
    log.info("node started", port=settings.receiver.port, **said)


def _begin_to_tell(db: Database, settings: Settings) -> None:
    """Of everything from here on, to the audit record repository."""
    if settings.atna.enabled:
        from dicom_node.atna.cursor import begin_here

        if begin_here(db, Folders(settings.storage.folder).atna_cursor):
            log.info("audit messages begin here; earlier rows are not sent")


def _tell_repository(db: Database, settings: Settings) -> None:
    """Of the stop, when the router that tells of everything else has ended."""
    if settings.atna.enabled:
        from dicom_node.atna.follow import send_last

        send_last(db, settings, system_clock)


def _receiver(settings: Settings, commands: Connection) -> None:
    """Imported in the child only: the supervisor needs none of it."""
    from dicom_node.processes import obey_supervisor
    from dicom_node.receiver import run_receiver

    stop = obey_supervisor(commands)
    set_up_logs(settings.log, "receiver")
    try:
        run_receiver(settings, stop)
    except Exception:  # noqa: BLE001 - the process ends; nothing is swallowed
        log.exception("receiver failed; it starts afresh")
        os._exit(RECEIVER_FAILED_EXIT_STATUS)  # a connection that hangs has threads for which Python would wait


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
    os.sync()  # what a killed process left in the kernel's memory: from here on it is taken for durable
    removed = remove_temporary_files(folders.root)
    ahead = (newest_time(db) or system_clock()) - system_clock()
    if ahead > timedelta(seconds=STEP_S):
        log.warning("the clock was set back while the node was away", seconds=ahead.total_seconds())
        follow_clock(db, ahead, system_clock())
    crashed = release_leases(db, "worker:", system_clock(), crashed=True)
    released = release_leases(db, None, system_clock(), crashed=False)
    if removed or crashed or released:
        log.warning("recovered after a crash", temporary_files=removed, series=crashed + released)


@dataclass(frozen=True)
class _Death:
    """A process that ended by itself; `owner` begins the names under which it held leases."""

    name: str
    owner: str
    exit_status: int | None


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
    deaths: list[_Death] = field(default_factory=list)

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


def _start_all(settings: Settings) -> list[_Child]:
    children = [_Child(name, settings) for name in PROCESSES]
    for child in children:
        child.start()
    return children


def _wait_for_news(children: list[_Child], signals: "_StopSignals") -> None:
    running = [child.process.sentinel for child in children if child.restart_at is None]
    due = [child.restart_at for child in children if child.restart_at is not None]
    due += [time.monotonic() + NOTE_AGAIN_S for child in children if child.deaths]
    due.append(time.monotonic() + LOOK_AT_CLOCK_S)
    wait([*running, signals.wake_up], max(0.0, min(due) - time.monotonic()))


def _follow_clock(db: Database, steps: ClockSteps) -> None:
    if back_s := steps.back_s():
        log.warning("the clock was set back", seconds=back_s)
        try:
            follow_clock(db, timedelta(seconds=back_s), system_clock())
        except StorageError as error:
            log.error("what waits for a time will wait for longer", error=str(error))


def _restart_the_dead(children: list[_Child]) -> None:
    for child in children:
        if child.restart_at is None and not child.process.is_alive():
            _bury(child)
        elif child.restart_at is not None and time.monotonic() >= child.restart_at:
            child.start()


def _bury(child: _Child) -> None:
    lived_s = time.monotonic() - child.started_at
    child.delay_s = FIRST_RESTART_DELAY_S if lived_s > HEALTHY_AFTER_S else child.delay_s
    child.restart_at = time.monotonic() + child.delay_s
    child.delay_s = min(child.delay_s * 2, MAXIMUM_RESTART_DELAY_S)
    child.commands.close()
    child.deaths.append(_Death(child.name, child.owner, child.process.exitcode))


def _note_deaths(children: list[_Child], db: Database) -> None:
    """Free what the dead held. Where the database cannot be written the node goes on, and it is tried again."""
    for child in children:
        while child.deaths:
            try:
                _note_death(child.deaths[0], db, child.settings)
            except StorageError as error:
                log.error("a death cannot be noted; trying again", child=child.name, error=str(error))
                break
            del child.deaths[0]


def _note_death(death: _Death, db: Database, settings: Settings) -> None:
    overtime = death.exit_status == OVERTIME_EXIT_CODE
    again = resend_rules(settings.delivery)
    released = release_leases(db, death.owner, system_clock(), crashed=True, overtime=overtime, resend=again)
    detail = {"process": death.name, "exit_status": death.exit_status, "series_released": len(released)}
    detail |= {"overtime": True} if overtime else {}
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
