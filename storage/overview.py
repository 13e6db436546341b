"""What stands where, counted: for the administrator's status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

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
class Overview:
    """The whole node at one moment.

    `series` counts every state, `analysing` those QUEUED series that a worker holds; `oldest_waiting` is the
    series on its way, past RECEIVING, that has waited longest since its last instance.
    """

    series: Mapping[SeriesState, int]
    analysing: int
    oldest_waiting: SeriesRow | None
    destinations: tuple[DestinationOverview, ...]


def overview(db: Database) -> Overview:
    """Count series and deliveries in one committed state of the database."""
    with db.read() as connection:
        return Overview(
            series=_count_series(connection),
            analysing=_count_analysing(connection),
            oldest_waiting=_oldest_waiting(connection),
            destinations=_destinations(connection),
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
