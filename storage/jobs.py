"""Jobs: a process claims a series under a lease, works on it, and commits what came of it.

Each change is guarded by id, state, revision and lease owner, and shares its transaction with its audit row.
A row that moved on meanwhile (a late slice re-opened the series, the lease ran out and another process took
over) raises LostClaim, and nothing is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from storage.database import Database
from storage.errors import StorageError
from storage.moves import change_series, end_series, fail_series, move_series, note, refuse_series
from storage.recovery import release_leases
from storage.retrying import retry
from storage.rows import ResultObject, SeriesRow, series_row
from storage.schema import deliveries, series
from storage.schema import results as result_table
from storage.states import CLAIMABLE_STATES, DeliveryState, Outcome, SeriesState

__all__ = [
    "ResultObject",
    "accept",
    "claim_series",
    "conclude_analysis",
    "fail",
    "give_back",
    "postpone",
    "publish",
    "refuse",
    "release_leases",
    "renew",
    "retry",
]

ATTEMPTS_USED_UP = "attempts-used-up"


def claim_series(
    db: Database, state: SeriesState, owner: str, now: datetime, lease: timedelta
) -> SeriesRow | None:
    """Take one series in `state` for `owner`, who has `lease` to finish or renew; None where none is due.

    Urgent series first, then the one that has waited longest since its last instance. A postponed series is
    left until its time; an expired lease is taken over. Counts as an attempt.
    """
    if state not in CLAIMABLE_STATES:
        raise StorageError(f"series in {state} are not worked on", where="claim_series")
    free = or_(series.c.lease_owner.is_(None), series.c.lease_expires_at <= now)
    due = or_(series.c.not_before.is_(None), series.c.not_before <= now)
    next_one = (
        select(series)
        .where(series.c.state == state, free, due)
        .order_by(series.c.urgent.desc(), series.c.last_received_at, series.c.id)
        .limit(1)
    )
    with db.read() as connection:  # so that looking for work never waits for the write lock
        if connection.execute(next_one).first() is None:
            return None
    with db.transaction() as connection:
        found = connection.execute(next_one).one_or_none()
        return None if found is None else _take(connection, series_row(found), owner, now, now + lease)


def _take(
    connection: Connection, row: SeriesRow, owner: str, now: datetime, lease_expires_at: datetime
) -> SeriesRow:
    if row.lease_owner is not None:
        note(connection, row, "lease-taken-over", {"from": row.lease_owner}, actor=owner, now=now)
    taken = connection.execute(
        update(series)
        .where(series.c.id == row.id)
        .values(
            lease_owner=owner, lease_expires_at=lease_expires_at, not_before=None, attempts=row.attempts + 1
        )
        .returning(series)
    )
    return series_row(taken.one())


def renew(db: Database, claim: SeriesRow, now: datetime, lease: timedelta) -> None:
    """Have `lease` from now on. Raises LostClaim."""
    with db.transaction() as connection:
        change_series(connection, claim, lease_expires_at=now + lease)


def give_back(db: Database, claim: SeriesRow, now: datetime) -> None:
    """Let go of a series because the node stops; the attempt does not count. Raises LostClaim."""
    with db.transaction() as connection:
        change_series(connection, claim, lease_owner=None, lease_expires_at=None, attempts=claim.attempts - 1)
        note(connection, claim, "lease-given-back", {"state": claim.state}, actor=_actor(claim), now=now)


def accept(db: Database, claim: SeriesRow, urgent: bool, detail: Mapping[str, object], now: datetime) -> None:
    """COMPLETE -> QUEUED: the series is to be analysed. Raises LostClaim."""
    said = {"urgent": urgent, **detail}
    with db.transaction() as connection:
        move_series(
            connection,
            claim,
            SeriesState.QUEUED,
            "series-accepted",
            said,
            actor=_actor(claim),
            now=now,
            urgent=urgent,
        )


def refuse(
    db: Database,
    claim: SeriesRow,
    reason_code: str,
    reason_detail: str,
    now: datetime,
    said: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """COMPLETE or QUEUED -> REFUSED: the series is not analysed, because. Raises LostClaim.

    said: more for the audit row.
    """
    with db.transaction() as connection:
        detail = {"reason": reason_code, "detail": reason_detail, **said}
        refuse_series(
            connection, claim, "series-refused", reason_code, reason_detail, detail, actor=_actor(claim), now=now
        )


def conclude_analysis(
    db: Database,
    claim: SeriesRow,
    findings_path: str,
    weights_sha256: str,
    lesion_count: int,
    detail: Mapping[str, object],
    now: datetime,
) -> None:
    """QUEUED -> ANALYSED: the findings lie durable at `findings_path`. Raises LostClaim."""
    with db.transaction() as connection:
        move_series(
            connection,
            claim,
            SeriesState.ANALYSED,
            "series-analysed",
            {"weights_sha256": weights_sha256, "lesions": lesion_count, **detail},
            actor=_actor(claim),
            now=now,
            outcome=Outcome.ANALYSED,
            findings_path=findings_path,
            weights_sha256=weights_sha256,
            lesion_count=lesion_count,
            concluded_at=now,
        )


def publish(
    db: Database,
    claim: SeriesRow,
    results: Sequence[ResultObject],
    destinations: Mapping[str, Sequence[str]],
    now: datetime,
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    unserved: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """ANALYSED or REFUSED -> DELIVERING: the results, durable on disk, go into the outbox.

    destinations: name of each, and the roles of the results that it is sent; one that is sent none has no delivery.
    left_out: kinds of results that could not be made, and why, for the audit log. unserved: destinations that lack
    something without which they are not to be served, and why; their deliveries have failed before they begin, so
    that the series ends as failed. There is another destination beside them.
    Where there is nothing to send, or nowhere to send it, the series ends here as DONE or NOT_ANALYSED.
    Raises LostClaim, and StorageError for a role that is not among the results.
    """
    unknown = {role for roles in destinations.values() for role in roles} - {one.role for one in results}
    if unknown:
        raise StorageError(f"no result has the role {', '.join(sorted(unknown))}", where="publish")
    detail = {
        "results": [{"role": one.role, "sop_instance_uid": one.sop_instance_uid} for one in results],
        "destinations": {name: list(roles) for name, roles in destinations.items()},
        **({"left_out": dict(left_out)} if left_out else {}),
        **({"unserved": dict(unserved)} if unserved else {}),
    }
    with db.transaction() as connection:
        if any(roles for name, roles in destinations.items() if name not in unserved):
            to = SeriesState.DELIVERING
            move_series(connection, claim, to, "results-published", detail, actor=_actor(claim), now=now)
            _insert_deliveries(connection, claim, destinations, unserved, now)
        else:
            note(connection, claim, "results-published", detail, actor=_actor(claim), now=now)
            end_series(connection, claim, actor=_actor(claim), now=now)
        _insert_results(connection, claim, results, now)


def _insert_results(
    connection: Connection, claim: SeriesRow, results: Sequence[ResultObject], now: datetime
) -> None:
    common = {"series_id": claim.id, "revision": claim.revision, "created_at": now}
    if results:
        connection.execute(insert(result_table), [{**asdict(one), **common} for one in results])


def _insert_deliveries(
    connection: Connection,
    claim: SeriesRow,
    destinations: Mapping[str, Sequence[str]],
    unserved: Mapping[str, str],
    now: datetime,
) -> None:
    common = {"series_id": claim.id, "revision": claim.revision, "attempts": 0, "created_at": now}
    pending = {"state": DeliveryState.PENDING, "ended_at": None, "last_error": None}
    failed = {"state": DeliveryState.FAILED, "ended_at": now}
    rows = [
        {
            **common,
            **({**failed, "last_error": unserved[name]} if name in unserved else pending),
            "destination": name,
            "roles": list(roles),
        }
        for name, roles in destinations.items()
        if roles or name in unserved
    ]
    connection.execute(insert(deliveries), rows)


def postpone(
    db: Database,
    claim: SeriesRow,
    error: str,
    delay: timedelta,
    maximum_attempts: int,
    now: datetime,
    *,
    counts: bool = True,
) -> None:
    """Let the series rest for `delay` after an error; FAILED when `maximum_attempts` are used up.

    counts: False where the error is the machine's, and the attempt shall not be one of them. Raises LostClaim.
    """
    with db.transaction() as connection:
        if counts and claim.attempts >= maximum_attempts:
            fail_series(connection, claim, ATTEMPTS_USED_UP, error, actor=_actor(claim), now=now)
            return
        detail = {"error": error, "attempts": claim.attempts, "delay_s": delay.total_seconds()}
        at_rest: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None, "not_before": now + delay}
        if not counts:
            at_rest["attempts"] = claim.attempts - 1
        change_series(connection, claim, **at_rest, last_error=error)
        note(connection, claim, "series-postponed", detail, actor=_actor(claim), now=now)


def fail(db: Database, claim: SeriesRow, reason_code: str, detail: str, now: datetime) -> None:
    """Set the series aside at once, because trying again cannot help. Raises LostClaim."""
    with db.transaction() as connection:
        fail_series(connection, claim, reason_code, detail, actor=_actor(claim), now=now)


def _actor(claim: SeriesRow) -> str:
    return claim.lease_owner or "node"
