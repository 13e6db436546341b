"""Series and their instances as rows, and the decision that a series is complete."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from storage.database import Database
from storage.errors import UnknownSeries
from storage.moves import move_series
from storage.rows import InstanceRow, SeriesRow, series_row
from storage.schema import instances, series
from storage.states import SeriesState

__all__ = [
    "InstanceRow",
    "SeriesRow",
    "complete_series",
    "get_series",
    "instance_paths",
    "kept_instances",
    "list_series",
    "missing_instances",
]

ACTOR = "assembly"


def get_series(db: Database, series_instance_uid: str) -> SeriesRow:
    """The series with this UID. Raises UnknownSeries."""
    with db.read() as connection:
        return require_series(connection, series_instance_uid)


def require_series(connection: Connection, series_instance_uid: str) -> SeriesRow:
    """`get_series`, in a transaction of the caller's. Raises UnknownSeries."""
    row = find_series(connection, series_instance_uid)
    if row is None:
        raise UnknownSeries(series_instance_uid)
    return row


def find_series(connection: Connection, series_instance_uid: str) -> SeriesRow | None:
    """The same; None where there is none."""
    row = connection.execute(
        select(series).where(series.c.series_instance_uid == series_instance_uid)
    ).one_or_none()
    return None if row is None else series_row(row)


def list_series(
    db: Database, states: Collection[SeriesState] | None = None, limit: int | None = None
) -> list[SeriesRow]:
    """The series in `states` (None: in any), the one that received last first."""
    query = select(series).order_by(series.c.last_received_at.desc(), series.c.id.desc()).limit(limit)
    if states is not None:
        query = query.where(series.c.state.in_(states))
    with db.read() as connection:
        return [series_row(row) for row in connection.execute(query)]


def instance_paths(db: Database, series_id: int) -> list[InstanceRow]:
    """The instances of a series that are here, in the order of their SOP Instance UIDs, those in conflict too."""
    query = (
        select(instances)
        .where(_is_here(series_id))
        .order_by(instances.c.sop_instance_uid, instances.c.conflict, instances.c.path)
    )
    with db.read() as connection:
        return [InstanceRow(**row._asdict()) for row in connection.execute(query)]


def missing_instances(db: Database, series_id: int) -> int:
    """How many instances of a series were deleted here and have not come again: without them it is a fragment."""
    with db.read() as connection:
        return count_missing(connection, series_id)


def count_missing(connection: Connection, series_id: int) -> int:
    """`missing_instances`, in a transaction of the caller's. A copy that was in conflict need not come again."""
    return _count(connection, series_id, instances.c.purged_at.is_not(None))


def count_here(connection: Connection, series_id: int) -> int:
    """How many instances of a series are here, one for each UID: copies in conflict do not count."""
    return _count(connection, series_id, instances.c.purged_at.is_(None))


def _count(connection: Connection, series_id: int, condition: ColumnElement[bool]) -> int:
    counted = and_(instances.c.series_id == series_id, instances.c.conflict.is_(False), condition)
    return connection.execute(select(func.count()).select_from(instances).where(counted)).scalar_one()


def kept_instances(db: Database, sop_instance_uids: Collection[str]) -> list[InstanceRow]:
    """The instances with these UIDs that lie durable in the spool: those that were deleted are not among them."""
    query = select(instances).where(
        instances.c.sop_instance_uid.in_(sop_instance_uids), instances.c.purged_at.is_(None)
    )
    with db.read() as connection:
        return [InstanceRow(**row._asdict()) for row in connection.execute(query)]


def complete_series(db: Database, now: datetime, quiet: timedelta) -> list[str]:
    """Close the series that received nothing for `quiet`, or as many instances as announced; their UIDs."""
    is_quiet = series.c.last_received_at <= now - quiet
    is_whole = series.c.instance_count >= series.c.announced_instances  # not true where none is announced
    due = and_(series.c.state == SeriesState.RECEIVING, or_(is_quiet, is_whole))
    with db.read() as connection:  # so that looking for work never waits for the write lock
        if connection.execute(select(series.c.id).where(due).limit(1)).first() is None:
            return []
    with db.transaction() as connection:
        found = connection.execute(select(series).where(due).order_by(series.c.id))
        rows = [series_row(row) for row in found]
        for row in rows:
            _complete(connection, row, now)
    return [row.series_instance_uid for row in rows]


def _complete(connection: Connection, row: SeriesRow, now: datetime) -> None:
    size = func.coalesce(func.sum(instances.c.size), 0)
    detail = {
        "instances": row.instance_count,
        "announced_instances": row.announced_instances,
        "bytes": connection.execute(select(size).where(_is_here(row.id))).scalar_one(),
        "conflicting": row.conflicting,
        "sender_ae_title": row.sender_ae_title,
        "sender_address": row.sender_address,
        "study_instance_uid": row.study_instance_uid,
    }
    move_series(connection, row, SeriesState.COMPLETE, "series-complete", detail, actor=ACTOR, now=now)


def _is_here(series_id: int) -> ColumnElement[bool]:
    return and_(instances.c.series_id == series_id, instances.c.purged_at.is_(None))
