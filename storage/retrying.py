"""Retrying: what was set aside goes back to where it failed, because somebody asked."""

from datetime import datetime

from sqlalchemy import Connection, select

from storage.database import Database
from storage.delivery_moves import failed_among, move_delivery, newest_deliveries, supersede
from storage.moves import move_series, note, reason_of_refusal
from storage.rows import DeliveryRow, SeriesRow, series_row
from storage.schema import series
from storage.states import DeliveryState, SeriesState


def retry(db: Database, series_instance_uid: str | None, actor: str, now: datetime) -> list[str]:
    """Try a failed series again (None: all of them), and its failed deliveries; their UIDs.

    A series goes back to the state it failed from with its attempts and crashes forgotten. One that is still
    being delivered to other destinations stays where it is, and its failed deliveries are tried again. A delivery
    that has nothing to send, because it could not be made, stays failed: a new analysis may make it.
    """
    with db.transaction() as connection:
        candidates = _candidates(connection, series_instance_uid)
        retried = [row for row in candidates if _retry(connection, row, actor, now)]
    return [row.series_instance_uid for row in retried]


def _candidates(connection: Connection, series_instance_uid: str | None) -> list[SeriesRow]:
    query = select(series).where(series.c.state.in_([SeriesState.FAILED, SeriesState.DELIVERING]))
    if series_instance_uid is not None:
        query = query.where(series.c.series_instance_uid == series_instance_uid)
    return [series_row(row) for row in connection.execute(query.order_by(series.c.id))]


def _retry(connection: Connection, row: SeriesRow, actor: str, now: datetime) -> bool:
    failed = _failed_deliveries(connection, row)
    if row.failed_from in (None, SeriesState.DELIVERING) and not failed:
        return False
    for delivery in failed:
        _retry_delivery(connection, delivery, actor, now)
    detail = {"state": row.failed_from or row.state, "deliveries": [one.destination for one in failed]}
    if row.failed_from is None:
        note(connection, row, "retried", detail, actor=actor, now=now)
    else:
        move_series(
            connection, row, row.failed_from, "retried", detail, actor=actor, now=now, **reason_of_refusal(row)
        )
    return True


def _failed_deliveries(connection: Connection, row: SeriesRow) -> list[DeliveryRow]:
    return [one for one in failed_among(newest_deliveries(connection, row)) if one.objects]


def _retry_delivery(connection: Connection, row: DeliveryRow, actor: str, now: datetime) -> None:
    move_delivery(
        connection,
        row,
        DeliveryState.PENDING,
        "delivery-retried",
        {},
        actor=actor,
        now=now,
        attempts=0,
        last_error=None,
        asked=0,
        committed=None,
    )
    supersede(connection, [row.id], now)
