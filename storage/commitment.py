"""Storage commitment as it is asked of destinations (PS3.4 annex J): who was asked, and what they said.

A destination is asked under a transaction UID, which has a row before the request goes out: the report may come
at any time, over any association, also after a restart. What was asked and has no outcome yet may be answered;
everything that comes later is noted and changes nothing.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from storage.audit import append
from storage.database import Database
from storage.delivery_moves import (
    change_delivery,
    move_delivery,
    move_series_on,
    note_delivery,
    read_deliveries,
    supersede,
)
from storage.rows import DeliveryRow
from storage.schema import commitments, deliveries
from storage.states import CommitmentOutcome, DeliveryState


class ReportTaken(StrEnum):
    """What became of a report."""

    COUNTED = "counted"
    LATE = "late"  # of a transaction that has its outcome: a duplicate, or the delivery has moved on
    UNKNOWN = "unknown"  # nobody was asked under this transaction UID
    FOREIGN = "foreign"  # it is not from the destination that was asked


@dataclass(frozen=True)
class CommitmentReport:
    """What a destination says: SOP class by SOP Instance UID of what it keeps, and the reasons for the rest.

    `sender` is its AE title, `failed` holds the Failure Reason (PS3.3 C.14.1.1) by SOP Instance UID.
    """

    transaction_uid: str
    sender: str
    address: str
    committed: Mapping[str, str]
    failed: Mapping[str, int]


@dataclass(frozen=True)
class ResendRules:
    """How often objects are sent, and how long to wait after the n-th time before they are sent again."""

    maximum_attempts: int
    delay_after: Callable[[int], timedelta]


def begin_request(db: Database, claim: DeliveryRow, transaction_uid: str, now: datetime) -> None:
    """Write down that the destination of a STORED delivery is about to be asked. Raises LostClaim."""
    asked_for = [one.sop_instance_uid for one in claim.outstanding]
    said = {"transaction_uid": transaction_uid, "objects": asked_for, "request": claim.asked + 1}
    with db.transaction() as connection:
        change_delivery(connection, claim, transaction_uid=transaction_uid, requested_at=now)
        values = {"delivery_id": claim.id, "sop_instance_uids": asked_for, "requested_at": now}
        connection.execute(insert(commitments).values(transaction_uid=transaction_uid, **values))
        note_delivery(connection, claim, "commitment-requested", said, actor=_actor(claim), now=now)


def await_report(db: Database, claim: DeliveryRow, until: datetime, now: datetime) -> None:
    """The destination has taken the request: it is asked again at `until`. No try of the delivery is counted.

    Raises LostClaim where the report was quicker.
    """
    with db.transaction() as connection:
        change_delivery(
            connection,
            claim,
            lease_owner=None,
            lease_expires_at=None,
            attempts=claim.attempts - 1,
            asked=claim.asked + 1,
            not_before=until,
            last_error=None,
        )
        said = {"request": claim.asked + 1, "asked_again_at": until.isoformat()}
        note_delivery(connection, claim, "commitment-awaited", said, actor=_actor(claim), now=now)


def waive_commitment(db: Database, claim: DeliveryRow, now: datetime) -> None:
    """STORED -> DELIVERED without a report, because the destination is not to be asked any more.

    Raises LostClaim.
    """
    with db.transaction() as connection:
        said = {"commitment": "switched off", "objects": _uids(claim)}
        supersede(connection, [claim.id], now)
        move_delivery(
            connection, claim, DeliveryState.DELIVERED, "delivered", said, actor=_actor(claim), now=now, last_error=None
        )
        move_series_on(connection, claim, actor=_actor(claim), now=now)


def take_report(
    db: Database,
    report: CommitmentReport,
    destinations: Collection[str],
    rules: ResendRules,
    now: datetime,
    *,
    note_ignored: bool = True,
) -> ReportTaken:
    """Act on a report that came from one of `destinations`; what became of it.

    An object counts as committed when the report names it with its SOP class and does not name it as failed. When
    all of a delivery are, STORED -> DELIVERED; else STORED -> PENDING, for the others to be sent again, or FAILED
    where `rules` allow no further try. note_ignored: whether a report that changes nothing gets an audit row.
    """
    with db.transaction() as connection:
        found = _asked(connection, report.transaction_uid)
        delivery = None
        if found is not None:
            (delivery,) = read_deliveries(connection, deliveries.c.id == found.delivery_id)
        ignored = _why_ignored(found, delivery, destinations)
        if ignored is not None:
            if note_ignored:
                _note_ignored(connection, report, ignored, now, delivery)
            return ignored
        assert found is not None and delivery is not None
        _count(connection, delivery, report, frozenset(found.sop_instance_uids), rules, now)
        return ReportTaken.COUNTED


def _why_ignored(
    found: Row[Any] | None, delivery: DeliveryRow | None, destinations: Collection[str]
) -> ReportTaken | None:
    if found is None or delivery is None:
        return ReportTaken.UNKNOWN
    if delivery.destination not in destinations:
        return ReportTaken.FOREIGN
    if found.outcome is not None or delivery.state != DeliveryState.STORED:
        return ReportTaken.LATE
    return None


def _asked(connection: Connection, transaction_uid: str) -> Row[Any] | None:
    query = select(commitments).where(commitments.c.transaction_uid == transaction_uid)
    return connection.execute(query).one_or_none()


def _note_ignored(
    connection: Connection,
    report: CommitmentReport,
    why: ReportTaken,
    now: datetime,
    delivery: DeliveryRow | None,
) -> None:
    said = {
        "transaction_uid": report.transaction_uid,
        "because": why,
        "address": report.address,
        "committed": len(report.committed),
        "failed": len(report.failed),
    }
    if delivery is None:
        append(connection, "commitment-report-ignored", now, actor=report.sender, detail=said)
    else:
        said = {**said, "delivery": delivery.state}
        note_delivery(connection, delivery, "commitment-report-ignored", said, actor=report.sender, now=now)


def _count(
    connection: Connection,
    delivery: DeliveryRow,
    report: CommitmentReport,
    asked_for: frozenset[str],
    rules: ResendRules,
    now: datetime,
) -> None:
    kept = frozenset(delivery.committed or ())
    kept |= {
        one.sop_instance_uid
        for one in delivery.objects
        if one.sop_instance_uid in asked_for
        and one.sop_instance_uid not in report.failed
        and report.committed.get(one.sop_instance_uid) == one.sop_class_uid
    }
    missing = [one.sop_instance_uid for one in delivery.objects if one.sop_instance_uid not in kept]
    _close(connection, report, CommitmentOutcome.FAILED if missing else CommitmentOutcome.COMMITTED, now)
    supersede(connection, [delivery.id], now)
    said = {"transaction_uid": report.transaction_uid, "address": report.address}
    if missing:
        failures = {uid: _reason(report, uid) for uid in missing}
        _send_again(connection, delivery, report, {**said, "committed": sorted(kept), "failures": failures}, rules, now)
        return
    move_delivery(
        connection,
        delivery,
        DeliveryState.DELIVERED,
        "delivered",
        {**said, "objects": _uids(delivery)},
        actor=report.sender,
        now=now,
        attempts=_tries(delivery),
        committed=sorted(kept),
        last_error=None,
    )
    move_series_on(connection, delivery, actor=report.sender, now=now)


def _close(connection: Connection, report: CommitmentReport, outcome: CommitmentOutcome, now: datetime) -> None:
    asked = commitments.c.transaction_uid == report.transaction_uid
    connection.execute(update(commitments).where(asked).values(outcome=outcome, ended_at=now))


def _reason(report: CommitmentReport, sop_instance_uid: str) -> str:
    if sop_instance_uid in report.failed:
        return f"0x{report.failed[sop_instance_uid]:04X}"
    return "other SOP class" if sop_instance_uid in report.committed else "not in the report"


def _send_again(
    connection: Connection,
    delivery: DeliveryRow,
    report: CommitmentReport,
    said: Mapping[str, object],
    rules: ResendRules,
    now: datetime,
) -> None:
    failures = said["failures"]
    error = f"{report.sender} did not commit to {failures} (transaction {report.transaction_uid})"
    tries = _tries(delivery)
    again = tries < rules.maximum_attempts
    delay = rules.delay_after(tries)
    move_delivery(
        connection,
        delivery,
        DeliveryState.PENDING if again else DeliveryState.FAILED,
        "commitment-failed",
        {**said, "attempts": tries, **({"delay_s": delay.total_seconds()} if again else {})},
        actor=report.sender,
        now=now,
        attempts=tries,
        committed=said["committed"],
        last_error=error,
        not_before=now + delay if again else None,
    )
    if not again:
        move_series_on(connection, delivery, actor=report.sender, now=now)


def _uids(delivery: DeliveryRow) -> list[str]:
    return [one.sop_instance_uid for one in delivery.objects]


def _tries(delivery: DeliveryRow) -> int:
    """Without the claim of who asks just now: a request that is answered is no try that failed."""
    return delivery.attempts - int(delivery.lease_owner is not None)


def _actor(claim: DeliveryRow) -> str:
    return claim.lease_owner or "node"
