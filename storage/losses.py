"""Files that are not here any more, though nobody meant to delete them: told, and never passed over in silence."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from storage.database import Database
from storage.deletion import Stores
from storage.moves import change_series, note
from storage.reception import begin_revision, in_chunks
from storage.rows import SeriesRow, series_row
from storage.schema import instances, results, series
from storage.series import count_here, require_series
from storage.states import SeriesState

AT_REST = frozenset({SeriesState.RECEIVING, SeriesState.DONE, SeriesState.NOT_ANALYSED})


def mark_absent(db: Database, stores: Stores, why: str, actor: str, now: datetime) -> dict[str, int]:
    """Rows whose files are not there are marked as deleted; how many of which kind."""
    with db.transaction() as connection:
        images = 0
        for row in connection.execute(select(series).order_by(series.c.id)).all():
            here = (instances.c.series_id == row.id) & instances.c.purged_at.is_(None)
            paths = connection.execute(select(instances.c.path).where(here)).scalars()
            absent = [path for path in paths if not (stores.spool / path).is_file()]
            if absent:
                mark_lost_images(connection, series_row(row), absent, why, actor, now)
            images += len(absent)
        absent_results = _mark_results(connection, stores, now)
    return {"images_absent": images, "results_absent": absent_results}


def _mark_results(connection: Connection, stores: Stores, now: datetime) -> int:
    query = select(results.c.id, results.c.path).where(results.c.purged_at.is_(None))
    absent = [row.id for row in connection.execute(query) if not (stores.results / row.path).is_file()]
    for number in absent:
        connection.execute(update(results).where(results.c.id == number).values(purged_at=now))
    return len(absent)


def mark_lost_images(
    connection: Connection, row: SeriesRow, paths: Sequence[str], why: str, actor: str, now: datetime
) -> None:
    """Mark instances whose files are gone or damaged as not here, in a transaction of the caller's.

    A series that has ended keeps its results. One that is on its way, or has failed, is looked at again as its next
    revision: it lacks images, and is refused for that reason unless they come again. Raises LostClaim.
    """
    for chunk in in_chunks(paths):
        gone = (instances.c.series_id == row.id) & instances.c.path.in_(chunk)
        connection.execute(update(instances).where(gone).values(purged_at=now))
    if row.state not in AT_REST:
        begin_revision(connection, row, "series-reopened", {"lost": len(paths), "why": why}, actor, now)
    current = require_series(connection, row.series_instance_uid)
    left = count_here(connection, row.id)
    change_series(connection, current, instance_count=left, source_purged_at=now, announced_instances=None)
    detail = {"instances": len(paths), "why": why, "left": left}
    note(connection, current, "images-lost", detail, actor=actor, now=now)
