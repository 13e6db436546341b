"""Images that are not here any more, though nobody meant to delete them: told, and never passed over in silence."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from storage.moves import change_series, note
from storage.reception import begin_revision
from storage.rows import SeriesRow
from storage.schema import instances
from storage.series import find_series
from storage.states import SeriesState

AT_REST = frozenset({SeriesState.RECEIVING, SeriesState.DONE, SeriesState.NOT_ANALYSED})
PATHS_PER_STATEMENT = 500


def mark_lost_images(
    connection: Connection, row: SeriesRow, paths: Sequence[str], why: str, actor: str, now: datetime
) -> None:
    """Mark instances whose files are gone or damaged as not here, in a transaction of the caller's.

    A series that has ended keeps its results. One that is on its way, or has failed, is looked at again as its next
    revision: it lacks images, and is refused for that reason unless they come again. Raises LostClaim.
    """
    for chunk in _chunks(paths):
        gone = (instances.c.series_id == row.id) & instances.c.path.in_(chunk)
        connection.execute(update(instances).where(gone).values(purged_at=now))
    if row.state not in AT_REST:
        begin_revision(connection, row, "series-reopened", {"lost": len(paths), "why": why}, actor, now)
    current = find_series(connection, row.series_instance_uid)
    assert current is not None
    here = instances.c.purged_at.is_(None) & instances.c.conflict.is_(False)
    count = select(func.count()).select_from(instances).where(instances.c.series_id == row.id, here)
    counted = connection.execute(count).scalar_one()
    change_series(connection, current, instance_count=counted, source_purged_at=now, announced_instances=None)
    detail = {"instances": len(paths), "why": why, "left": counted}
    note(connection, current, "images-lost", detail, actor=actor, now=now)


def _chunks(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(paths), PATHS_PER_STATEMENT):
        yield paths[start : start + PATHS_PER_STATEMENT]
