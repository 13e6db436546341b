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
from dicom_node.processes import obey_supervisor
from dicom_node.settings import Settings
from glianet.allocator import give_back_freed_memory, keep_freed_memory
from glianet.checkpoint import load_network
from glianet.weights_file import DEFAULT_WEIGHTS
from storage.database import open_database
from storage.errors import StorageError

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, commands: Connection) -> None:
    """Load the weights once, then analyse accepted series until told to stop."""
    stop = obey_supervisor(commands)
    set_up_logs(settings.log, "worker")
    if settings.model.threads:
        torch.set_num_threads(settings.model.threads)
    keep_freed_memory()
    loaded = load_network(Path(settings.model.weights or DEFAULT_WEIGHTS), settings.model.device)
    folders = Folders(settings.storage.folder)
    folders.progress.unlink(missing_ok=True)  # of a worker that died
    db = open_database(folders.database)
    owner = f"worker:{os.getpid()}:analysis"
    log.info("worker ready", weights=loaded.sha256, device=settings.model.device)
    while not stop.is_set():
        try:
            worked = analyse_next(db, folders, settings, loaded, owner, system_clock, stop.is_set)
        except StorageError as error:
            log.error("storage does not answer; trying again", stage="analysis", error=str(error))
            worked = False
        if worked:
            give_back_freed_memory()
        else:
            stop.wait(settings.assembly.poll_s)
    db.close()
