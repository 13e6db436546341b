"""Analysing again what has ended, because somebody asked: with other weights, other settings, or a newer version."""

from datetime import datetime

from storage.database import Database
from storage.errors import StorageError
from storage.reception import begin_revision
from storage.series import count_missing, require_series
from storage.states import ENDED_STATES


def reanalyse(db: Database, series_instance_uid: str, actor: str, now: datetime) -> int:
    """Have an ended series assembled, decided on and analysed afresh, as its next revision; which that is.

    Results of earlier revisions stay where they are. Raises UnknownSeries, and StorageError where the series is still
    being worked on, or its images were deleted.
    """
    with db.transaction() as connection:
        row = require_series(connection, series_instance_uid)
        if row.state not in ENDED_STATES:
            raise StorageError(
                f"the series is still being worked on ({row.state})",
                where=series_instance_uid,
                retry_helps=True,
                advice="wait until it has ended",
            )
        if row.source_purged_at is not None:
            missing = count_missing(connection, row.id)
            raise StorageError(
                f"{missing} of its images are not here any more (since {row.source_purged_at:%Y-%m-%d})",
                where=series_instance_uid,
                advice="send the whole series again: it is then analysed as soon as it is complete",
            )
        begin_revision(connection, row, "series-reanalysed", {}, actor, now)
    return row.revision + 1
