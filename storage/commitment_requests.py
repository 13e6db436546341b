"""Storage commitment as others ask it of this node (PS3.4 annex J): what was asked, and whether they were told.

A request is written down before it is answered, so that nothing that was accepted is forgotten. What is told is
looked up when it is told.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from storage.audit import append
from storage.database import Database
from storage.schema import commitment_requests as table
from storage.schema import series
from storage.states import RequestState

LARGEST_BACKLOG = 100_000  # instances that one requester's waiting requests may name in all; some 13 MB


class RequestTaken(StrEnum):
    """What became of a request."""

    NEW = "new"
    REPEATED = "repeated"  # the same as one that is still to be reported: one report answers both
    DUPLICATE = "duplicate"  # another one has this transaction UID: it is told so
    TOO_MANY = "too many"  # nothing was written


@dataclass(frozen=True)
class CommitmentRequest:
    """Somebody asks; `instances` are pairs of SOP Class UID and SOP Instance UID."""

    transaction_uid: str
    calling_ae_title: str
    address: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RequestRow:
    """A request as it stands in the database."""

    id: int
    transaction_uid: str
    calling_ae_title: str
    address: str
    instances: list[list[str]]
    state: RequestState
    duplicate: bool
    attempts: int
    not_before: datetime | None
    last_error: str | None
    received_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class RequestOverview:
    """What is still to be told to one requester."""

    calling_ae_title: str
    waiting: int
    failed: int
    oldest_since: datetime | None
    last_error: str | None


def record_request(db: Database, request: CommitmentRequest, now: datetime) -> RequestTaken:
    """Write a request down, in the same transaction as its audit row."""
    with db.transaction() as connection:
        taken = _judge(connection, request)
        said = {
            "transaction_uid": request.transaction_uid,
            "address": request.address,
            "instances": len(request.instances),
            "taken": taken,
        }
        append(connection, "commitment-asked", now, actor=request.calling_ae_title, detail=said)
        if taken in (RequestTaken.NEW, RequestTaken.DUPLICATE):
            _insert(connection, request, taken == RequestTaken.DUPLICATE, now)
    return taken


def _judge(connection: Connection, request: CommitmentRequest) -> RequestTaken:
    query = select(table).where(table.c.transaction_uid == request.transaction_uid)
    known = [_row(one) for one in connection.execute(query)]
    asked = [list(pair) for pair in request.instances]
    for row in known:
        same = (row.calling_ae_title, row.instances) == (request.calling_ae_title, asked)
        if same and row.state == RequestState.OPEN:
            return RequestTaken.REPEATED
    named = select(func.coalesce(func.sum(func.json_array_length(table.c.instances)), 0))
    waiting = named.where(*_open(table.c.calling_ae_title == request.calling_ae_title))
    if connection.execute(waiting).scalar_one() + len(asked) > LARGEST_BACKLOG:
        return RequestTaken.TOO_MANY
    return RequestTaken.DUPLICATE if known else RequestTaken.NEW


def _open(*conditions: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    return (table.c.state == RequestState.OPEN, *conditions)


def _insert(connection: Connection, request: CommitmentRequest, duplicate: bool, now: datetime) -> None:
    connection.execute(
        insert(table).values(
            transaction_uid=request.transaction_uid,
            calling_ae_title=request.calling_ae_title,
            address=request.address,
            instances=[list(pair) for pair in request.instances],
            state=RequestState.OPEN,
            duplicate=duplicate,
            attempts=0,
            received_at=now,
        )
    )


def due_requests(db: Database, now: datetime) -> list[RequestRow]:
    """The requests whose report is due, oldest first."""
    due = _open(or_(table.c.not_before.is_(None), table.c.not_before <= now))
    with db.read() as connection:
        return [_row(one) for one in connection.execute(select(table).where(*due).order_by(table.c.id))]


def reported(
    db: Database, row: RequestRow, detail: Mapping[str, object], series_ids: Collection[int], now: datetime
) -> None:
    """OPEN -> REPORTED: the requester has answered Success to the report; `detail` is what it was told.

    Where all instances are of one series, its UID stands in the audit row.
    """
    with db.read() as connection:
        uids = select(series.c.series_instance_uid).where(series.c.id.in_(series_ids))
        found = list(connection.execute(uids.limit(2)).scalars())
    of_series = found[0] if len(found) == 1 else None
    _end(db, row, RequestState.REPORTED, "commitment-reported", detail, now, of_series)


def postpone_report(
    db: Database, row: RequestRow, error: str, delay: timedelta, maximum_attempts: int, now: datetime
) -> None:
    """Try to tell the requester again after `delay`; OPEN -> FAILED once `maximum_attempts` are used up."""
    attempts = row.attempts + 1
    if attempts >= maximum_attempts:
        detail = {"error": error, "attempts": attempts}
        _end(db, row, RequestState.FAILED, "commitment-report-failed", detail, now, attempts=attempts, last_error=error)
        return
    with db.transaction() as connection:
        values = {"attempts": attempts, "last_error": error, "not_before": now + delay}
        connection.execute(update(table).where(*_open(table.c.id == row.id)).values(**values))
        said = {"error": error, "attempts": attempts, "delay_s": delay.total_seconds()}
        _note(connection, row, "commitment-report-postponed", said, now)


def forget_requests(db: Database, ended_before: datetime) -> int:
    """Delete the requests that had ended by then, told or given up; how many. The audit log keeps all of them."""
    ended = (table.c.state != RequestState.OPEN, table.c.ended_at < ended_before)
    with db.transaction() as connection:
        return connection.execute(delete(table).where(*ended)).rowcount


def request_overview(db: Database) -> list[RequestOverview]:
    """What is still to be told, and what could not be told, by requester."""
    waiting = func.count().filter(table.c.state == RequestState.OPEN)
    failed = func.count().filter(table.c.state == RequestState.FAILED)
    oldest = func.min(table.c.received_at, type_=table.c.received_at.type).filter(table.c.state == RequestState.OPEN)
    query = (
        select(table.c.calling_ae_title, waiting.label("waiting"), failed.label("failed"), oldest.label("oldest_since"))
        .where(table.c.state != RequestState.REPORTED)
        .group_by(table.c.calling_ae_title)
        .order_by(table.c.calling_ae_title)
    )
    with db.read() as connection:
        return [
            RequestOverview(**row._asdict(), last_error=_last_error(connection, row.calling_ae_title))
            for row in connection.execute(query).all()
        ]


def _last_error(connection: Connection, calling_ae_title: str) -> str | None:
    mine = (table.c.calling_ae_title == calling_ae_title, table.c.state != RequestState.REPORTED)
    query = select(table.c.last_error).where(*mine, table.c.last_error.is_not(None)).order_by(table.c.id.desc())
    return connection.execute(query.limit(1)).scalar_one_or_none()


def _end(
    db: Database,
    row: RequestRow,
    to: RequestState,
    event: str,
    detail: Mapping[str, object],
    now: datetime,
    series_instance_uid: str | None = None,
    **values: object,
) -> None:
    with db.transaction() as connection:
        ended = {"state": to, "ended_at": now, "not_before": None, **values}
        changed = connection.execute(update(table).where(*_open(table.c.id == row.id)).values(**ended))
        if changed.rowcount == 1:
            _note(connection, row, event, detail, now, series_instance_uid)


def _note(
    connection: Connection,
    row: RequestRow,
    event: str,
    detail: Mapping[str, object],
    now: datetime,
    series_instance_uid: str | None = None,
) -> None:
    said = {"transaction_uid": row.transaction_uid, "requester": row.calling_ae_title, **detail}
    append(connection, event, now, series_instance_uid=series_instance_uid, actor="receiver", detail=said)


def _row(found: Row[Any]) -> RequestRow:
    return RequestRow(**found._asdict())
