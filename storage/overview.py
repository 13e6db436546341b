"""What stands where, counted: for the administrator's status."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, select

from storage.database import Database
from storage.rows import SeriesRow, series_row
from storage.schema import deliveries, series
from storage.states import ENDED_STATES, OPEN_DELIVERY_STATES, DeliveryState, SeriesState


@dataclass(frozen=True)
class DestinationOverview:
    """The deliveries to one destination; `stored` are those whose commitment is waited for.

    `oldest_pending_since` is when the results of the oldest that is pending or stored were published.
    """

    destination: str
    pending: int
    stored: int
    delivered: int
    failed: int
    withdrawn: int
    oldest_pending_since: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class DefectOverview:
    """The series that are refused for one reason.

    `earlier_delivered` are those of which a destination has results of an earlier revision, as long as their images
    are here: deleting these is the administrator's way to say that the matter is settled.
    """

    reason: str
    series: int
    earlier_delivered: int


@dataclass(frozen=True)
class Overview:
    """The whole node at one moment.

    `series` counts every state, `analysing` those QUEUED series that a worker holds; `oldest_waiting` is the
    series on its way, past RECEIVING, that has waited longest since its last instance; `defects` are the reasons
    that were asked for and have series.
    """

    series: Mapping[SeriesState, int]
    analysing: int
    oldest_waiting: SeriesRow | None
    destinations: tuple[DestinationOverview, ...]
    defects: tuple[DefectOverview, ...]


def overview(db: Database, defects: Collection[str] = ()) -> Overview:
    """Count series and deliveries in one committed state of the database; `defects`: codes to count refusals by."""
    with db.read() as connection:
        return Overview(
            series=_count_series(connection),
            analysing=_count_analysing(connection),
            oldest_waiting=_oldest_waiting(connection),
            destinations=_destinations(connection),
            defects=_defects(connection, defects),
        )


def _count_series(connection: Connection) -> dict[SeriesState, int]:
    counted = connection.execute(
        select(series.c.state, func.count().label("number")).group_by(series.c.state)
    ).all()
    return dict.fromkeys(SeriesState, 0) | {row.state: row.number for row in counted}


def _count_analysing(connection: Connection) -> int:
    held = and_(series.c.state == SeriesState.QUEUED, series.c.lease_owner.is_not(None))
    return connection.execute(select(func.count()).select_from(series).where(held)).scalar_one()


def _oldest_waiting(connection: Connection) -> SeriesRow | None:
    over = [SeriesState.RECEIVING, *ENDED_STATES]
    query = select(series).where(series.c.state.not_in(over)).order_by(series.c.last_received_at, series.c.id)
    row = connection.execute(query.limit(1)).one_or_none()
    return None if row is None else series_row(row)


def _destinations(connection: Connection) -> tuple[DestinationOverview, ...]:
    pending_since = case((deliveries.c.state.in_(OPEN_DELIVERY_STATES), deliveries.c.created_at))
    query = (
        select(
            deliveries.c.destination,
            *(_count(state).label(state.lower()) for state in DeliveryState),
            func.min(pending_since, type_=deliveries.c.created_at.type).label("oldest_pending_since"),
        )
        .group_by(deliveries.c.destination)
        .order_by(deliveries.c.destination)
    )
    return tuple(
        DestinationOverview(**row._asdict(), last_error=_last_error(connection, row.destination))
        for row in connection.execute(query).all()
    )


def _count(state: DeliveryState) -> ColumnElement[int]:
    return func.count(case((deliveries.c.state == state, 1)))


def _last_error(connection: Connection, destination: str) -> str | None:
    """Of the deliveries that are still of concern, not of those that succeeded in the end."""
    query = (
        select(deliveries.c.last_error)
        .where(
            deliveries.c.destination == destination,
            deliveries.c.state.in_([*OPEN_DELIVERY_STATES, DeliveryState.FAILED]),
            deliveries.c.last_error.is_not(None),
        )
        .order_by(deliveries.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def _defects(connection: Connection, reasons: Collection[str]) -> tuple[DefectOverview, ...]:
    went_out = exists().where(
        deliveries.c.series_id == series.c.id,
        deliveries.c.revision < series.c.revision,
        deliveries.c.statuses.is_not(None),  # every object was taken, whatever became of the delivery afterwards
    )
    concerned = and_(went_out, series.c.source_purged_at.is_(None))
    query = (
        select(series.c.refusal_code, func.count(), func.count(case((concerned, 1))))
        .where(series.c.refusal_code.in_(reasons))
        .group_by(series.c.refusal_code)
        .order_by(series.c.refusal_code)
    )
    return tuple(DefectOverview(*row) for row in connection.execute(query).all())
