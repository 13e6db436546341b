"""Recovery: what a process that is gone had claimed is free again, and a clock that was set back holds nothing up."""

from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Connection, or_, select, update

from storage.audit import append
from storage.commitment import ResendRules
from storage.database import Database
from storage.delivery_moves import change_delivery, note_delivery, read_deliveries, rest_or_fail
from storage.moves import change_series, fail_series, note
from storage.rows import DeliveryRow, SeriesRow, series_row
from storage.schema import audit, deliveries, series
from storage.series import require_series
from storage.states import OPEN_DELIVERY_STATES, SeriesState

ACTOR = "node"
WORKER_CRASHED = "worker-crashed"
TIME_LIMIT = "time-limit"


def release_leases(
    db: Database,
    owner_prefix: str | None,
    now: datetime,
    crashed: bool,
    maximum_crashes: int = 3,
    *,
    overtime: bool = False,
    resend: ResendRules | None = None,
) -> list[str]:
    """Free what a process held that is gone; the UIDs of the series that were worked on or delivered.

    `owner_prefix` names one owner ("router:17", together with its parts "router:17:...") or, with a colon at
    its end, every owner of a kind ("worker:"); None is everybody, for the start of a node. The interrupted
    attempt does not count as one. With `crashed`, a series that was worked on counts a crash, and fails for
    the reason "worker-crashed" at `maximum_crashes`; "time-limit" where this time, with `overtime`, the process
    was ended because it had worked on it for too long. A delivery that was under way when its process crashed has
    failed once more, with `resend`, and as that has it: a destination whose answers end the process is not asked for
    ever.
    """
    with db.transaction() as connection:
        held = _held_series(connection, owner_prefix)
        for row in held:
            _release_series(connection, row, now, crashed, maximum_crashes, overtime)
        sending = _release_deliveries(connection, owner_prefix, now, resend if crashed else None)
    return list(dict.fromkeys([*(row.series_instance_uid for row in held), *sending]))


def _held_series(connection: Connection, owner_prefix: str | None) -> list[SeriesRow]:
    held = select(series).where(_owned_by(series.c.lease_owner, owner_prefix)).order_by(series.c.id)
    return [series_row(row) for row in connection.execute(held)]


def _owned_by(lease_owner: Column[str], owner_prefix: str | None) -> ColumnElement[bool]:
    if owner_prefix is None:
        return lease_owner.is_not(None)
    if owner_prefix.endswith(":"):
        return lease_owner.startswith(owner_prefix, autoescape=True)
    return or_(lease_owner == owner_prefix, lease_owner.startswith(f"{owner_prefix}:", autoescape=True))


def _release_series(
    connection: Connection, row: SeriesRow, now: datetime, crashed: bool, maximum_crashes: int, overtime: bool
) -> None:
    crashes = row.crashes + int(crashed)
    attempts = max(0, row.attempts - 1)
    change_series(
        connection, row, lease_owner=None, lease_expires_at=None, attempts=attempts, crashes=crashes
    )
    detail = {"state": row.state, "owner": row.lease_owner, "crashed": crashed, "crashes": crashes}
    detail |= {"overtime": True} if overtime else {}
    note(connection, row, "lease-released", detail, actor=ACTOR, now=now)
    if crashed and crashes >= maximum_crashes:
        freed = require_series(connection, row.series_instance_uid)
        code, last = (TIME_LIMIT, ", the last time because it took too long") if overtime else (WORKER_CRASHED, "")
        reason = f"the process that worked on it died {crashes} times{last}"
        fail_series(connection, freed, code, reason, actor=ACTOR, now=now)


def _release_deliveries(
    connection: Connection, owner_prefix: str | None, now: datetime, resend: ResendRules | None
) -> list[str]:
    """resend: where the owner crashed."""
    held = read_deliveries(connection, _owned_by(deliveries.c.lease_owner, owner_prefix))
    for row in held:
        detail = {"owner": row.lease_owner, "crashed": resend is not None}
        note_delivery(connection, row, "lease-released", detail, actor=ACTOR, now=now)
        if resend is None or row.state not in OPEN_DELIVERY_STATES:
            attempts = max(0, row.attempts - 1)
            change_delivery(connection, row, lease_owner=None, lease_expires_at=None, attempts=attempts)
        else:
            _count_crash(connection, row, now, resend)
    return [row.series_instance_uid for row in held]


def _count_crash(connection: Connection, row: DeliveryRow, now: datetime, resend: ResendRules) -> None:
    error = "the process that delivered it died before the destination had answered"
    delay, tries = resend.delay_after(row.attempts), resend.maximum_attempts
    rest_or_fail(connection, row, error, delay, tries, actor=ACTOR, now=now)


def newest_time(db: Database) -> datetime | None:
    """When the newest row of the audit log was written, by the clock of then; None where there is none."""
    with db.read() as connection:
        at = connection.execute(select(audit.c.at).order_by(audit.c.number.desc()).limit(1)).scalar_one_or_none()
    return None if at is None else datetime.fromisoformat(at)


def follow_clock(db: Database, back: timedelta, now: datetime) -> None:
    """The clock was set back by `back`: what was to happen at a time happens as much earlier by the new clock.

    Otherwise a series would wait for its quiet time, a postponed one for its next try, as much longer.
    """
    with db.transaction() as connection:
        for table in (series, deliveries):
            for column in (table.c.not_before, table.c.lease_expires_at):
                _move_back(connection, column, back)
        receiving = series.c.state == SeriesState.RECEIVING
        for column in (series.c.first_received_at, series.c.last_received_at):
            connection.execute(update(series).where(receiving, column > now).values({column: now}))
        append(connection, "clock-set-back", now, actor=ACTOR, detail={"seconds": round(back.total_seconds(), 1)})


def _move_back(connection: Connection, column: Column[datetime], back: timedelta) -> None:
    table = column.table
    for key, then in connection.execute(select(table.c.id, column).where(column.is_not(None))).all():
        connection.execute(update(table).where(table.c.id == key).values({column: then - back}))
