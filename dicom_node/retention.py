"""Retention: the stage that deletes what has ended and is not to be kept any longer, one series at a time."""

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

import structlog

from dicom_node.clock import Clock
from dicom_node.disk_space import GIB
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.commitment_requests import forget_requests
from storage.database import Database
from storage.deletion import Stores, delete_images, delete_results, finish_deletions
from storage.durable import free_bytes
from storage.errors import StorageError
from storage.retention import Deletion, Kind, RetentionRules, plan_deletions

ACTOR = "retention"
REQUESTS_KEPT = timedelta(days=30)  # after their end; a transaction UID that comes again later is not known as one
DELETE = {Kind.IMAGES: delete_images, Kind.RESULTS: delete_results}

log = structlog.get_logger(__name__)


class Retention:
    """Looks every [retention] interval_s; call it again as long as it says that it has worked."""

    def __init__(
        self,
        db: Database,
        folders: Folders,
        settings: Settings,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._folders = folders
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._waiting: deque[Deletion] = deque()
        self._next_look_at = monotonic()

    def __call__(self) -> bool:
        """Delete the next thing; whether more is waiting. What cannot be deleted now is looked at next time."""
        if not self._waiting:
            if self._monotonic() < self._next_look_at:
                return False
            self._next_look_at = self._monotonic() + self._settings.retention.interval_s
            if not self._look():
                return False
        try:
            due = self._waiting.popleft()
            deleted = carry_out(self._db, self._folders, due, ACTOR, self._clock)
            what = "deleted" if deleted else "not deleted: the series has changed meanwhile"
            log.info(what, kind=due.kind, series=due.series_instance_uid, because=due.cause, bytes=due.bytes)
        except StorageError as error:
            self._waiting.clear()
            log.warning("nothing more is deleted this time", error=str(error))
        return bool(self._waiting)

    def _look(self) -> bool:
        try:
            finish_deletions(self._db, stores_of(self._folders), self._clock())
            forget_requests(self._db, self._clock() - REQUESTS_KEPT)
        except StorageError as error:
            log.warning("nothing is deleted this time", error=str(error))
            return False
        planned = plan(self._db, self._folders, self._settings, self._clock)
        self._waiting.extend(planned)
        if planned:
            log.info("to be deleted", series=len(planned), bytes=sum(one.bytes for one in planned))
        return bool(planned)


def plan(db: Database, folders: Folders, settings: Settings, clock: Clock) -> list[Deletion]:
    """What the settings have deleted at this moment, in order. Raises StorageError."""
    return plan_deletions(db, rules_of(settings), free_bytes(folders.spool), clock())


def carry_out(db: Database, folders: Folders, deletion: Deletion, actor: str, clock: Clock) -> bool:
    """Delete; whether that was still right when it came to it. Raises StorageError."""
    delete = DELETE[deletion.kind]
    return delete(db, stores_of(folders), deletion.series_instance_uid, deletion.cause, actor, clock())


def rules_of(settings: Settings) -> RetentionRules:
    """The settings in the units of the rules; the space to spare comes on top of what reception leaves free."""
    retention = settings.retention
    floor_gib = settings.receiver.minimum_free_gib + retention.spare_gib
    return RetentionRules(
        drop_delivered_images=retention.drop_source_when_delivered,
        images_age=_days(retention.source_days),
        images_bytes=int(retention.source_gib * GIB) if retention.source_gib else None,
        free_bytes=int(floor_gib * GIB) if retention.spare_gib else None,
        results_age=_days(retention.results_days),
    )


def stores_of(folders: Folders) -> Stores:
    """The folders as storage knows them."""
    return Stores(folders.root, folders.spool, folders.results, folders.findings)


def _days(days: float) -> timedelta | None:
    return timedelta(days=days) if days else None
