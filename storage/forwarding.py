"""Bringing forward: what waits for its next try is tried now, because somebody asked."""

from datetime import datetime

from sqlalchemy import Connection, select

from storage.database import Database
from storage.delivery_moves import change_delivery, newest_deliveries
from storage.moves import change_series, note
from storage.rows import DeliveryRow, SeriesRow, series_row
from storage.schema import deliveries, series
from storage.states import CLAIMABLE_STATES, DeliveryState, SeriesState


def bring_forward(db: Database, series_instance_uid: str | None, actor: str, now: datetime) -> list[str]:
    """Have a series that waits after an error, or whose deliveries do, tried at once (None: all of them); their UIDs.

    The tries that were made count. A delivery that waits for a destination's word on storage commitment waits on.
    """
    with db.transaction() as connection:
        candidates = _candidates(connection, series_instance_uid)
        return [row.series_instance_uid for row in candidates if _bring_forward(connection, row, actor, now)]


def _candidates(connection: Connection, series_instance_uid: str | None) -> list[SeriesRow]:
    query = select(series).where(series.c.state.in_([*CLAIMABLE_STATES, SeriesState.DELIVERING]))
    if series_instance_uid is not None:
        query = query.where(series.c.series_instance_uid == series_instance_uid)
    return [series_row(row) for row in connection.execute(query.order_by(series.c.id))]


def _bring_forward(connection: Connection, row: SeriesRow, actor: str, now: datetime) -> bool:
    itself = row.lease_owner is None and row.not_before is not None and row.not_before > now
    waiting = _waiting_deliveries(connection, row, now)
    if not itself and not waiting:
        return False
    if itself:
        change_series(connection, row, not_before=None)
    for delivery in waiting:
        change_delivery(connection, delivery, not_before=None)
    detail = {"state": row.state, "deliveries": [one.destination for one in waiting]}
    note(connection, row, "brought-forward", detail, actor=actor, now=now)
    return True


def _waiting_deliveries(connection: Connection, row: SeriesRow, now: datetime) -> list[DeliveryRow]:
    return newest_deliveries(
        connection,
        row,
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.lease_owner.is_(None),
        deliveries.c.not_before > now,
    )
