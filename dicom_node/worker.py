"""The analysis worker's process: the only one that imports torch and owns the device."""

import os
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
import torch

from dicom_node.analysis import analyse_next
from dicom_node.clock import system_clock
from dicom_node.folders import Folders
from dicom_node.logs import set_up_logs
from dicom_node.processes import obey_supervisor, spare_what_is_loaded
from dicom_node.settings import ModelSettings, Settings
from dicom_node.time_limit import time_limit
from glianet.allocator import give_back_freed_memory, keep_freed_memory
from glianet.errors import GliaNetError
from glianet.load_model import LoadedModel, load_model
from glianet.model import ComputeSettings
from glianet.weights_file import DEFAULT_WEIGHTS
from storage.database import open_database
from storage.errors import StorageError

NICENESS = 10  # the network takes every core there is; receiving and sending, which need little of them, come first

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, commands: Connection) -> None:
    """Load the weights once, then analyse accepted series until told to stop.

    Weights that cannot be used fail the series that meet them, each with the reason, and are looked at anew for the
    next: the worker stays. A series that takes longer than [model] maximum_series_s ends the process.
    """
    stop = obey_supervisor(commands)
    set_up_logs(settings.log, "worker")
    os.nice(NICENESS)
    if settings.model.threads:
        torch.set_num_threads(settings.model.threads)
    keep_freed_memory()
    load = _Loader(settings.model)
    folders = Folders(settings.storage.folder)
    folders.progress.unlink(missing_ok=True)  # of a worker that died
    db = open_database(folders.database)
    owner = f"worker:{os.getpid()}:analysis"
    _load_early(load)
    spare_what_is_loaded()
    log.info("worker ready")  # also where no model is: each series that comes gets the reason
    while not stop.is_set():
        try:
            with time_limit(settings.model.maximum_series_s):
                worked = analyse_next(db, folders, settings, load, owner, system_clock, stop.is_set)
        except StorageError as error:
            log.error("storage does not answer; trying again", stage="analysis", error=str(error))
            worked = False
        if worked:
            give_back_freed_memory()
        else:
            stop.wait(settings.assembly.poll_s)
    db.close()


class _Loader:
    """The model of the settings, loaded when it is first asked for and kept."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._loaded: LoadedModel | None = None

    def __call__(self) -> LoadedModel:
        """Raises GliaNetError where weights, device or backend are not usable."""
        if self._loaded is None:
            settings = self._settings
            weights = [Path(name) for name in settings.weights] or [DEFAULT_WEIGHTS]
            compute = ComputeSettings(
                settings.device, settings.backend, settings.precision, settings.threads, settings.flips
            )
            self._loaded = load_model(weights, compute)
            log.info("model ready", weights=self._loaded.sha256, computation=self._loaded.model.description)
        return self._loaded


def _load_early(load: _Loader) -> None:
    """So that the first series need not wait, and the log says at the start what is wrong."""
    try:
        load()
    except GliaNetError as problem:
        log.error("no series can be analysed", error=str(problem))
