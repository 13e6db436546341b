"""The outbox: the results of a series wait here for each destination, apart from one another.

Changes are guarded and audited like those of storage.jobs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from storage import delivery_moves
from storage.database import Database
from storage.delivery_moves import (
    DELIVERY_FAILED,
    IS_OPEN,
    change_delivery,
    move_delivery,
    move_series_on,
    note_delivery,
    read_deliveries,
    rest_or_fail,
)
from storage.errors import LostClaim
from storage.return_of_destination import end_waiting
from storage.rows import DeliveryRow, ResultObject, SeriesRow
from storage.schema import deliveries as table
from storage.schema import series
from storage.states import DeliveryState

__all__ = [
    "DELIVERY_FAILED",
    "DeliveryRow",
    "ResultObject",
    "claim_delivery",
    "delivered",
    "deliveries",
    "earlier_deliveries",
    "give_back_delivery",
    "postpone_delivery",
    "stored",
]


def claim_delivery(
    db: Database, destination: str, owner: str, now: datetime, lease: timedelta
) -> DeliveryRow | None:
    """Take the next delivery to `destination` for `owner`, with its objects; None where none is due.

    One that is PENDING is to be sent, one that is STORED to be asked about (storage.commitment). Urgent series
    first, then the one whose results have waited longest. Counts as an attempt.
    """
    with db.read() as connection:  # so that looking for work never waits for the write lock
        if _next(connection, destination, now) is None:
            return None
    with db.transaction() as connection:
        chosen = _next(connection, destination, now)
        if chosen is None:
            return None
        (row,) = read_deliveries(connection, table.c.id == chosen)
        change_delivery(
            connection,
            row,
            lease_owner=owner,
            lease_expires_at=now + lease,
            not_before=None,
            attempts=row.attempts + 1,
            first_tried_at=row.first_tried_at or now,
        )
        (claim,) = read_deliveries(connection, table.c.id == chosen)
        return claim


def _next(connection: Connection, destination: str, now: datetime) -> int | None:
    query = (
        select(table.c.id)
        .join(series, series.c.id == table.c.series_id)
        .where(table.c.destination == destination, IS_OPEN, _is_free(now))
        .order_by(series.c.urgent.desc(), table.c.created_at, table.c.id)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def _is_free(now: datetime) -> ColumnElement[bool]:
    return and_(
        or_(table.c.not_before.is_(None), table.c.not_before <= now),
        or_(table.c.lease_owner.is_(None), table.c.lease_expires_at <= now),
    )


def delivered(
    db: Database, claim: DeliveryRow, statuses: Sequence[Mapping[str, object]], now: datetime
) -> None:
    """PENDING -> DELIVERED: the destination has taken every object; `statuses` are its answers.

    The last delivery of the revision moves the series on. What waits because the destination was away goes at
    once (`storage.return_of_destination`). Where the delivery was withdrawn while it was being
    sent, an audit row tells what the destination has taken, nothing else changes, and LostClaim is raised.
    """
    _take(db, claim, DeliveryState.DELIVERED, "delivered", statuses, now)


def stored(db: Database, claim: DeliveryRow, statuses: Sequence[Mapping[str, object]], now: datetime) -> None:
    """PENDING -> STORED: the same, where the destination is yet to say that it keeps what it has taken."""
    _take(db, claim, DeliveryState.STORED, "stored", statuses, now)


def _take(
    db: Database,
    claim: DeliveryRow,
    to: DeliveryState,
    event: str,
    statuses: Sequence[Mapping[str, object]],
    now: datetime,
) -> None:
    said = {"objects": [one.sop_instance_uid for one in claim.outstanding], "statuses": list(statuses)}
    answers = {"statuses": [*_earlier_statuses(claim), *statuses], "last_error": None, "asked": 0}
    try:
        with db.transaction() as connection:
            waited = end_waiting(connection, claim)
            told = {**said, "brought_forward": waited} if waited else said
            move_delivery(connection, claim, to, event, told, actor=_actor(claim), now=now, **answers)
            if to == DeliveryState.DELIVERED:
                move_series_on(connection, claim, actor=_actor(claim), now=now)
    except LostClaim:
        with db.transaction() as connection:
            note_delivery(connection, claim, "delivered-without-claim", said, actor=_actor(claim), now=now)
        raise


def _earlier_statuses(claim: DeliveryRow) -> list[dict[str, object]]:
    """The answers for objects that are committed already, and were not sent again."""
    kept = frozenset(claim.committed or ())
    return [one for one in claim.statuses or () if one.get("sop_instance_uid") in kept]


def postpone_delivery(
    db: Database,
    claim: DeliveryRow,
    error: str,
    delay: timedelta,
    maximum_attempts: int,
    now: datetime,
    *,
    counts: bool = True,
) -> None:
    """Let the delivery rest for `delay` after an error; FAILED once `maximum_attempts` are used up.

    counts: False where the error is the machine's, and the attempt shall not be one of them. When the last delivery
    of the revision has ended and one has failed, so has the series. Raises LostClaim.
    """
    actor = _actor(claim)
    with db.transaction() as connection:
        rest_or_fail(connection, claim, error, delay, maximum_attempts, actor=actor, now=now, counts=counts)


def give_back_delivery(db: Database, claim: DeliveryRow, now: datetime) -> None:
    """Let go of a delivery because the node stops; the attempt does not count. Raises LostClaim."""
    with db.transaction() as connection:
        change_delivery(
            connection, claim, lease_owner=None, lease_expires_at=None, attempts=claim.attempts - 1
        )
        note_delivery(connection, claim, "lease-given-back", {}, actor=_actor(claim), now=now)


def deliveries(db: Database, series_id: int) -> list[DeliveryRow]:
    """All deliveries of a series, those of earlier revisions too, oldest revision first."""
    with db.read() as connection:
        return read_deliveries(connection, table.c.series_id == series_id)


def newest_deliveries(db: Database, row: SeriesRow) -> list[DeliveryRow]:
    """Those of the series' present revision."""
    with db.read() as connection:
        return delivery_moves.newest_deliveries(connection, row)


def earlier_deliveries(db: Database, series_id: int, revision: int) -> list[DeliveryRow]:
    """Deliveries of revisions before `revision` that may have reached their destination, oldest revision first."""
    with db.read() as connection:
        earlier = and_(table.c.series_id == series_id, table.c.revision < revision)
        return read_deliveries(connection, earlier, table.c.first_tried_at.is_not(None))


def _actor(claim: DeliveryRow) -> str:
    return claim.lease_owner or "node"
