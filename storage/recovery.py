"""Recovery: what a process that is gone had claimed is free again."""

from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, or_, select

from storage.database import Database
from storage.delivery_moves import change_delivery, note_delivery, read_deliveries
from storage.moves import change_series, fail_series, note
from storage.rows import SeriesRow, series_row
from storage.schema import deliveries, series

ACTOR = "node"
WORKER_CRASHED = "worker-crashed"


def release_leases(
    db: Database, owner_prefix: str | None, now: datetime, crashed: bool, maximum_crashes: int = 3
) -> list[str]:
    """Free what a process held that is gone; the UIDs of the series that were worked on or delivered.

    `owner_prefix` names one owner ("router:17", together with its parts "router:17:...") or, with a colon at
    its end, every owner of a kind ("worker:"); None is everybody, for the start of a node. The interrupted
    attempt does not count as one. With `crashed`, a series that was worked on counts a crash, and fails for
    the reason "worker-crashed" at `maximum_crashes`.
    """
    with db.transaction() as connection:
        held = _held_series(connection, owner_prefix)
        for row in held:
            _release_series(connection, row, now, crashed, maximum_crashes)
        sending = _release_deliveries(connection, owner_prefix, now)
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
    connection: Connection, row: SeriesRow, now: datetime, crashed: bool, maximum_crashes: int
) -> None:
    crashes = row.crashes + int(crashed)
    attempts = max(0, row.attempts - 1)
    change_series(
        connection, row, lease_owner=None, lease_expires_at=None, attempts=attempts, crashes=crashes
    )
    detail = {"state": row.state, "owner": row.lease_owner, "crashed": crashed, "crashes": crashes}
    note(connection, row, "lease-released", detail, actor=ACTOR, now=now)
    if crashed and crashes >= maximum_crashes:
        freed = series_row(connection.execute(select(series).where(series.c.id == row.id)).one())
        reason = f"the process that worked on it died {crashes} times"
        fail_series(connection, freed, WORKER_CRASHED, reason, actor=ACTOR, now=now)


def _release_deliveries(connection: Connection, owner_prefix: str | None, now: datetime) -> list[str]:
    held = read_deliveries(connection, _owned_by(deliveries.c.lease_owner, owner_prefix))
    for row in held:
        attempts = max(0, row.attempts - 1)
        change_delivery(connection, row, lease_owner=None, lease_expires_at=None, attempts=attempts)
        note_delivery(connection, row, "lease-released", {"owner": row.lease_owner}, actor=ACTOR, now=now)
    return [row.series_instance_uid for row in held]
