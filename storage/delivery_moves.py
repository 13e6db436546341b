"""Reading deliveries and moving them from state to state, guarded like the moves of a series."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, update

from storage.audit import append
from storage.errors import LostClaim
from storage.moves import end_series, fail_series
from storage.rows import DeliveryRow, ResultObject, SeriesRow, series_row
from storage.schema import commitments, deliveries, results, series
from storage.states import OPEN_DELIVERY_STATES, CommitmentOutcome, DeliveryState, SeriesState, check_move

DELIVERY_FAILED = "delivery-failed"

# Written out in the statement: only so does SQLite see that the index of open deliveries (0004) will do.
IS_OPEN = deliveries.c.state.in_(bindparam("open", sorted(OPEN_DELIVERY_STATES), expanding=True, literal_execute=True))


def read_deliveries(connection: Connection, *conditions: ColumnElement[bool]) -> list[DeliveryRow]:
    """The deliveries that meet `conditions` on tables deliveries and series, oldest revision first."""
    query = (
        select(deliveries, series.c.series_instance_uid, series.c.study_instance_uid)
        .join(series, series.c.id == deliveries.c.series_id)
        .where(*conditions)
        .order_by(deliveries.c.series_id, deliveries.c.revision, deliveries.c.destination)
    )
    return [
        DeliveryRow(**row._asdict(), objects=_objects(connection, row.series_id, row.revision, row.roles))
        for row in connection.execute(query).all()
    ]


def newest_deliveries(connection: Connection, row: SeriesRow, *conditions: ColumnElement[bool]) -> list[DeliveryRow]:
    """Those of the series' present revision that meet `conditions`."""
    of_revision = deliveries.c.series_id == row.id, deliveries.c.revision == row.revision
    return read_deliveries(connection, *of_revision, *conditions)


def failed_among(rows: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    """The deliveries that have failed."""
    return [row for row in rows if row.state == DeliveryState.FAILED]


def why_failed(rows: Sequence[DeliveryRow]) -> str:
    """What each of these deliveries failed for, in words."""
    return "; ".join(f"{row.destination}: {row.last_error}" for row in rows)


def _objects(
    connection: Connection, series_id: int, revision: int, roles: Sequence[str] | None
) -> tuple[ResultObject, ...]:
    columns = [results.c[name] for name in ResultObject.__dataclass_fields__]
    query = select(*columns).where(results.c.series_id == series_id, results.c.revision == revision)
    if roles is not None:
        query = query.where(results.c.role.in_(roles))
    return tuple(ResultObject(**row._asdict()) for row in connection.execute(query.order_by(results.c.id)))


def move_delivery(
    connection: Connection,
    row: DeliveryRow,
    to: DeliveryState,
    event: str,
    detail: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
    **values: object,
) -> None:
    """Move the delivery that `row` was read from, drop its lease, and append the audit row `event`.

    Raises:
        IllegalMove: storage.states does not have the move.
        LostClaim: the row is no longer in that state, under that lease.
    """
    check_move(row.state, to)
    at_rest = {"lease_owner": None, "lease_expires_at": None, "not_before": None}
    ended_at = None if to in OPEN_DELIVERY_STATES else now
    change_delivery(connection, row, **{**at_rest, "state": to, "ended_at": ended_at, **values})
    note_delivery(connection, row, event, detail, actor=actor, now=now)


def change_delivery(connection: Connection, row: DeliveryRow, **values: object) -> None:
    """Change columns of the delivery that `row` was read from. Raises LostClaim where it has moved on."""
    unchanged = (
        deliveries.c.id == row.id,
        deliveries.c.state == row.state,
        deliveries.c.lease_owner.is_not_distinct_from(row.lease_owner),
    )
    changed = connection.execute(update(deliveries).where(*unchanged).values(**values))
    if changed.rowcount != 1:
        raise LostClaim(f"delivery of series {row.series_instance_uid} to {row.destination}")


def supersede(connection: Connection, delivery_ids: Sequence[int], now: datetime) -> None:
    """Reports for what these deliveries were asked under so far change nothing any more."""
    outcome = {"outcome": CommitmentOutcome.SUPERSEDED, "ended_at": now}
    open_ones = (commitments.c.delivery_id.in_(delivery_ids), commitments.c.outcome.is_(None))
    connection.execute(update(commitments).where(*open_ones).values(**outcome))


def note_delivery(
    connection: Connection,
    row: DeliveryRow,
    event: str,
    detail: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Append an audit row about a delivery; its revision and destination are added to the detail."""
    said = {"revision": row.revision, "destination": row.destination, **detail}
    append(connection, event, now, series_instance_uid=row.series_instance_uid, actor=actor, detail=said)


def rest_or_fail(
    connection: Connection,
    row: DeliveryRow,
    error: str,
    delay: timedelta,
    maximum_attempts: int,
    *,
    actor: str,
    now: datetime,
    counts: bool = True,
) -> None:
    """After an attempt that failed: it rests for `delay`, or is FAILED once `maximum_attempts` are used up.

    counts: False where the error is the machine's, and the attempt shall not be one of them. When the last delivery
    of the revision has ended and one has failed, so has the series. Raises LostClaim.
    """
    detail = {"error": error, "attempts": row.attempts}
    if row.attempts < maximum_attempts or not counts:
        at_rest: dict[str, object] = {"lease_owner": None, "lease_expires_at": None, "not_before": now + delay}
        if not counts:
            at_rest["attempts"] = row.attempts - 1
        change_delivery(connection, row, **at_rest, last_error=error)
        said = {**detail, "delay_s": delay.total_seconds()}
        note_delivery(connection, row, "delivery-postponed", said, actor=actor, now=now)
        return
    to, event = DeliveryState.FAILED, "delivery-failed"
    move_delivery(connection, row, to, event, detail, actor=actor, now=now, last_error=error)
    move_series_on(connection, row, actor=actor, now=now)


def move_series_on(connection: Connection, row: DeliveryRow, *, actor: str, now: datetime) -> None:
    """The series ends with the last of its deliveries: done, or failed where one of them has.

    Raises LostClaim where the series has been re-opened meanwhile.
    """
    of_revision = and_(deliveries.c.series_id == row.series_id, deliveries.c.revision == row.revision)
    siblings = read_deliveries(connection, of_revision)
    if any(one.state in OPEN_DELIVERY_STATES for one in siblings):
        return
    delivering = _delivering(connection, row)
    failed = failed_among(siblings)
    if failed:
        fail_series(connection, delivering, DELIVERY_FAILED, why_failed(failed), actor=actor, now=now)
    else:
        end_series(connection, delivering, actor=actor, now=now)


def _delivering(connection: Connection, row: DeliveryRow) -> SeriesRow:
    found = connection.execute(
        select(series).where(
            series.c.id == row.series_id,
            series.c.revision == row.revision,
            series.c.state == SeriesState.DELIVERING,
        )
    ).one_or_none()
    if found is None:
        raise LostClaim(f"series {row.series_instance_uid}")
    return series_row(found)
