"""Analysing again what has ended, because somebody asked: with other weights, other settings, or a newer version."""

from datetime import datetime

from storage.database import Database
from storage.errors import StorageError, UnknownSeries
from storage.reception import begin_revision
from storage.series import find_series
from storage.states import ENDED_STATES


def reanalyse(db: Database, series_instance_uid: str, actor: str, now: datetime) -> int:
    """Have an ended series assembled, decided on and analysed afresh, as its next revision; which that is.

    Results of earlier revisions stay where they are. Raises UnknownSeries, and StorageError where the series is still
    being worked on.
    """
    with db.transaction() as connection:
        row = find_series(connection, series_instance_uid)
        if row is None:
            raise UnknownSeries(series_instance_uid)
        if row.state not in ENDED_STATES:
            raise StorageError(
                f"the series is still being worked on ({row.state})",
                where=series_instance_uid,
                retry_helps=True,
                advice="wait until it has ended",
            )
        begin_revision(connection, row, "series-reanalysed", {}, actor, now)
    return row.revision + 1
