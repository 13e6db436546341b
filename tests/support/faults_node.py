"""The whole node in one process of a test's own: receiver, stages in turn, and a saboteur.

The network is stood in for: a block of voxels scores high. The stages' clock is ahead of the real one by what they
would have had to wait for: where nothing is left to do but wait, it goes on by a minute. What has failed is tried
again, as an administrator does who has mended the cause.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from types import SimpleNamespace

import numpy as np
from sqlalchemy.exc import OperationalError

from dicom_node import analysis
from dicom_node.analysis import analyse_next
from dicom_node.assembly import assemble_next
from dicom_node.daemon import _recover
from dicom_node.delivery import deliver_next
from dicom_node.folders import Folders
from dicom_node.logs import set_up_logs
from dicom_node.publishing import publish_next
from dicom_node.receiver.server import Receiver, open_receiver
from dicom_node.settings import LogSettings, Settings
from glianet.engine import EngineSettings, Progress
from glianet.scores import RiskGrid, Scores
from glianet.volume import Volume
from storage.database import Database, open_database
from storage.durable import ensure_folder
from storage.errors import StorageError
from storage.jobs import retry
from storage.series import list_series
from storage.spool import Spool
from storage.states import ENDED_STATES, SeriesState
from tests.support.faults_plan import Plan, Saboteur

LESION = (slice(1, 3), slice(6, 9), slice(4, 7))
WEIGHTS = "cd" * 32
PATIENT_WORKER = (
    "router:1:analysis"  # no worker: a death here does not count against the series, which sees many
)
LEAP = timedelta(minutes=1)
LOOK_S = 0.01
READY, ENDED, PASSED, HEAL, STOP = "ready", "ended", "passed", "heal", "stop"


@dataclass
class RunningClock:
    """The real clock, and what was leapt over."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def run_node(settings: Settings, plan: Plan, control: Connection) -> None:
    """Run until the test says stop, or the plan strikes. `control` tells the test what happens here.

    In order: ("ready", port), ("hit", point) where the plan struck, ("ended", None) each time that every series has
    ended, and after a stop ("passed", how often each point was passed).
    """
    os.sync = lambda: None  # of the whole machine; the model of a power cut takes it for made
    analysis.score_volume = _score_block  # type: ignore[assignment]
    set_up_logs(LogSettings(level="warning", format="json"), "node")
    folders = Folders(settings.storage.folder)
    saboteur = Saboteur(plan, folders.root, control)
    saboteur.begin()
    ensure_folder(folders.root)
    db = open_database(folders.database)
    _recover(db, folders)
    with open_receiver(settings) as receiver:
        control.send((READY, receiver.port))
        _work(db, folders, settings, receiver, saboteur, control)
    db.close()
    control.send((PASSED, saboteur.passed))


def _work(
    db: Database,
    folders: Folders,
    settings: Settings,
    receiver: Receiver,
    saboteur: Saboteur,
    control: Connection,
) -> None:
    clock = RunningClock()
    told = False
    while True:
        if _each_stage_once(db, folders, settings, clock):
            told = False
            continue
        ended = not receiver.associations and _all_ended(db) and not _failed(db)
        if ended and not told:
            control.send((ENDED, None))
        told = ended
        if not saboteur.sick and _failed(db):
            retry(db, None, "administrator", clock())
        if control.poll(LOOK_S):
            if control.recv() == STOP:
                return
            saboteur.heal()
        if not (ended or saboteur.sick or receiver.associations or _more_to_come(db)):
            clock.ahead += LEAP


def _each_stage_once(db: Database, folders: Folders, settings: Settings, clock: RunningClock) -> bool:
    """As router and worker do it: an error of storage is met again later."""
    spool = Spool(folders.spool)
    loaded = SimpleNamespace(model=None, sha256=WEIGHTS)
    stages = [
        lambda: assemble_next(db, spool, settings, "router:1:assembly", clock),
        lambda: analyse_next(db, folders, settings, lambda: loaded, PATIENT_WORKER, clock, lambda: False),  # type: ignore[arg-type, return-value]
        lambda: publish_next(db, folders, settings, "router:1:publishing", clock),
        *(
            lambda one=one: deliver_next(db, one, settings, folders.results, f"router:1:{one.name}", clock)  # type: ignore[misc]
            for one in settings.destinations
        ),
    ]
    worked = False
    for stage in stages:
        try:
            worked |= stage()
        except (StorageError, OperationalError):
            continue
    return worked


def _failed(db: Database) -> bool:
    return any(row.state == SeriesState.FAILED for row in list_series(db))


def _more_to_come(db: Database) -> bool:
    """Nothing is there, or a series of which not all is."""
    rows = list_series(db)
    return not rows or any((row.announced_instances or 0) > row.instance_count for row in rows)


def _all_ended(db: Database) -> bool:
    return not _more_to_come(db) and all(row.state in ENDED_STATES for row in list_series(db))


def _score_block(volume: Volume, _model: object, settings: EngineSettings, progress: Progress) -> Scores:
    for done in range(3):
        progress(done, 2)
    probability = np.zeros(volume.shape, np.float32)
    probability[LESION] = 0.875
    risk = RiskGrid(np.full((1, 1, 1), 0.5, np.float32), ((0,), (0,), (0,)))
    return Scores(probability, risk, None, settings.step, settings.exact, 0.5, 2, 0, "stood in for")
