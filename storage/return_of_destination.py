"""A destination that was away is back: what waits for its next try goes at once."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from storage.delivery_moves import IS_OPEN
from storage.rows import DeliveryRow
from storage.schema import deliveries as table
from storage.states import DeliveryState


def end_waiting(connection: Connection, taken: DeliveryRow) -> int:
    """Have the other deliveries to the destination of `taken`, which it takes just now, tried at once; how many.

    All that wait, where `taken` itself had failed before; else those first tried since the last success. An object
    that a destination refuses, while it takes all others, thus keeps its delays, and its tries are not used up by
    the success of others.
    """
    waiting = [
        table.c.destination == taken.destination,
        IS_OPEN,
        table.c.state == DeliveryState.PENDING,
        table.c.not_before.is_not(None),
        table.c.lease_owner.is_(None),
        table.c.id != taken.id,
    ]
    if connection.execute(select(table.c.id).where(*waiting).limit(1)).first() is None:
        return 0
    last = _last_success(connection, taken)
    if taken.attempts <= 1 and last is not None:
        waiting.append(table.c.first_tried_at >= last)
    return connection.execute(update(table).where(*waiting).values(not_before=None)).rowcount


def _last_success(connection: Connection, taken: DeliveryRow) -> datetime | None:
    """When the destination last took something, or was asked to commit itself to it."""
    at = func.max(func.coalesce(table.c.ended_at, table.c.requested_at), type_=table.c.ended_at.type)
    return connection.execute(select(at).where(_was_taken(taken))).scalar_one()


def _was_taken(taken: DeliveryRow) -> ColumnElement[bool]:
    succeeded = table.c.state.in_([DeliveryState.STORED, DeliveryState.DELIVERED])
    return and_(table.c.destination == taken.destination, succeeded, table.c.id != taken.id)
