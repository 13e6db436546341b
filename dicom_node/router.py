"""The router's process: assembly, publishing, and one delivery thread for each destination. Knows no torch."""

import os
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection

import structlog
from sqlalchemy.exc import OperationalError

from dicom_node.assembly import assemble_next
from dicom_node.atna.follow import Follower
from dicom_node.clock import system_clock
from dicom_node.delivery import deliver_next
from dicom_node.destination_settings import DestinationSettings
from dicom_node.folders import Folders
from dicom_node.logs import set_up_logs
from dicom_node.processes import obey_supervisor, spare_what_is_loaded
from dicom_node.publishing import publish_next
from dicom_node.retention import Retention
from dicom_node.settings import Settings
from dicom_node.time_limit import StepTimes, watch_steps
from storage.database import Database, open_database
from storage.durable import remove_temporary_files
from storage.errors import StorageError
from storage.spool import Spool

STAGE_FAILED_EXIT_STATUS = 1

log = structlog.get_logger(__name__)


def run_router(settings: Settings, commands: Connection) -> None:
    """Run every stage but reception and analysis until told to stop.

    A stage that meets an error it does not know, or takes longer than [node] maximum_step_s for one step, ends the
    process: the supervisor starts it afresh and the work is resumed from the last commit.
    """
    stop = obey_supervisor(commands)
    set_up_logs(settings.log, "router")
    folders = Folders(settings.storage.folder)
    remove_temporary_files(folders.results)  # of a router that died
    db = open_database(folders.database)
    stages, poll_s = _stages(db, folders, settings), settings.assembly.poll_s
    bells, times = _Bells(stages), StepTimes()
    spare_what_is_loaded()
    threads = [
        threading.Thread(target=_repeat, args=(name, step, stop, bells, times, poll_s), name=name)
        for name, step in stages.items()
    ]
    for thread in threads:
        thread.start()
    log.info("router ready", stages=[thread.name for thread in threads])
    watch_steps(times, settings.node.maximum_step_s, stop)
    bells.ring()
    for thread in threads:
        thread.join()
    db.close()


def _stages(db: Database, folders: Folders, settings: Settings) -> dict[str, Callable[[], bool]]:
    owner = f"router:{os.getpid()}"
    spool = Spool(folders.spool)

    def assemble() -> bool:
        return assemble_next(db, spool, settings, f"{owner}:assembly", system_clock)

    def publish() -> bool:
        return publish_next(db, folders, settings, f"{owner}:publishing", system_clock)

    def deliver_to(destination: DestinationSettings) -> Callable[[], bool]:
        name = f"{owner}:{destination.name}"
        return lambda: deliver_next(db, destination, settings, folders.results, name, system_clock)

    deliveries = {f"delivery-{one.name}": deliver_to(one) for one in settings.destinations}
    audit = {"audit-messages": Follower(db, settings, system_clock).follow} if settings.atna.enabled else {}
    retain = Retention(db, folders, settings, system_clock)
    return {"assembly": assemble, "publishing": publish, "retention": retain, **deliveries, **audit}


class _Bells:
    """One for each stage, rung when another has committed something: that may be its work, and it need not wait."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._bells = {name: threading.Event() for name in stages}

    def ring(self, but: str = "") -> None:
        """Wake every stage `but` the one that has done the work."""
        for name, bell in self._bells.items():
            if name != but:
                bell.set()

    def silence(self, name: str) -> None:
        """Before a stage looks for work: what is rung from now on it may have missed."""
        self._bells[name].clear()

    def wait(self, name: str, seconds: float) -> None:
        """Until the stage is rung for, or `seconds` have passed."""
        self._bells[name].wait(seconds)


def _repeat(
    name: str, step: Callable[[], bool], stop: threading.Event, bells: _Bells, times: StepTimes, poll_s: float
) -> None:
    """Work while there is work; look again when another stage has worked, or after `poll_s`."""
    while not stop.is_set():
        bells.silence(name)
        try:
            with times.step(name):
                worked = step()
        except (StorageError, OperationalError) as error:
            log.error("storage does not answer; trying again", stage=name, error=str(error))
            worked = False
        except Exception:  # noqa: BLE001 - the process ends; nothing is swallowed
            log.exception("stage failed; the router starts afresh", stage=name)
            os._exit(STAGE_FAILED_EXIT_STATUS)
        if worked:
            bells.ring(but=name)
        elif not stop.is_set():
            bells.wait(name, poll_s)
