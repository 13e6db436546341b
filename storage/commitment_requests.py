"""Storage commitment as others ask it of this node (PS3.4 annex J): what was asked, and whether they were told.

A request is written down before it is answered, so that nothing that was accepted is forgotten. What is told is
looked up when it is told. Of a request that has ended its transaction UID is kept, for it is not to come again; which
instances it named is forgotten.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from storage.audit import append
from storage.database import Database
from storage.schema import commitment_requests as table
from storage.schema import series
from storage.states import RequestState

LARGEST_BACKLOG = 100_000  # instances that one requester's waiting requests may name in all; some 13 MB
LARGEST_BACKLOG_OF_ALL = 10 * LARGEST_BACKLOG  # the same, of all requesters together
MOST_WAITING = 10_000  # requests of one requester; scanners that ask for each image alone have some thousands
MOST_ROWS = 10 * MOST_WAITING  # of all requesters, waiting or ended; some 30 MB beside the instances
DUE_AT_ONCE = 100  # requests that are read together


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
    """A request as it stands in the database, without its instances."""

    id: int
    transaction_uid: str
    calling_ae_title: str
    address: str
    state: RequestState
    duplicate: bool
    attempts: int
    not_before: datetime | None
    last_error: str | None
    received_at: datetime
    ended_at: datetime | None


_COLUMNS = tuple(table.c[field.name] for field in fields(RequestRow))


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
    if _waits_already(connection, request):
        return RequestTaken.REPEATED
    if not _has_room(connection, request):
        return RequestTaken.TOO_MANY
    same = table.c.transaction_uid == request.transaction_uid
    known = connection.execute(select(table.c.id).where(same).limit(1)).first()
    return RequestTaken.NEW if known is None else RequestTaken.DUPLICATE


def _waits_already(connection: Connection, request: CommitmentRequest) -> bool:
    """Whether the requester has asked the same before; the database compares, and nothing is read."""
    mine = (
        table.c.transaction_uid == request.transaction_uid,
        table.c.calling_ae_title == request.calling_ae_title,
    )
    same = _open(*mine, table.c.instances == _pairs(request))
    return connection.execute(select(table.c.id).where(*same).limit(1)).first() is not None


def _has_room(connection: Connection, request: CommitmentRequest) -> bool:
    """Whether what waits, of the requester and of all, leaves room for one more request."""
    mine = table.c.calling_ae_title == request.calling_ae_title
    instances = func.json_array_length(table.c.instances)
    query = select(
        func.count().filter(mine),
        func.count(),
        func.coalesce(func.sum(instances).filter(mine), 0),
        func.coalesce(func.sum(instances), 0),
    ).where(*_open())
    (my_rows, rows, my_instances, all_instances) = connection.execute(query).one()
    more = len(request.instances)
    too_many_rows = my_rows >= MOST_WAITING or rows >= MOST_ROWS
    return not (
        too_many_rows or my_instances + more > LARGEST_BACKLOG or all_instances + more > LARGEST_BACKLOG_OF_ALL
    )


def _pairs(request: CommitmentRequest) -> list[list[str]]:
    return [list(pair) for pair in request.instances]


def _open(*conditions: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    return (table.c.state == RequestState.OPEN, *conditions)


def _insert(connection: Connection, request: CommitmentRequest, duplicate: bool, now: datetime) -> None:
    _forget_oldest(connection)
    connection.execute(
        insert(table).values(
            transaction_uid=request.transaction_uid,
            calling_ae_title=request.calling_ae_title,
            address=request.address,
            instances=_pairs(request),
            state=RequestState.OPEN,
            duplicate=duplicate,
            attempts=0,
            received_at=now,
        )
    )


def _forget_oldest(connection: Connection) -> None:
    """Delete of the requests that have ended those asked first, as many as make room for one more row."""
    rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
    if rows < MOST_ROWS:
        return
    ended = select(table.c.id).where(table.c.state != RequestState.OPEN).order_by(table.c.id)
    connection.execute(delete(table).where(table.c.id.in_(ended.limit(rows - MOST_ROWS + 1))))


def due_requests(
    db: Database, now: datetime, after: int = 0, left_out: Collection[str] = frozenset()
) -> list[RequestRow]:
    """The next DUE_AT_ONCE requests whose report is due, oldest first.

    after: the id of the last one that was given before. left_out: AE titles that are not to be told now.
    """
    titles = func.json_each(json.dumps(sorted(left_out))).table_valued("value")  # more than a statement's variables
    due = _open(
        or_(table.c.not_before.is_(None), table.c.not_before <= now),
        table.c.id > after,
        table.c.calling_ae_title.not_in(select(titles.c.value)),
    )
    query = select(*_COLUMNS).where(*due).order_by(table.c.id).limit(DUE_AT_ONCE)
    with db.read() as connection:
        return [RequestRow(**one._asdict()) for one in connection.execute(query)]


def newest_request(db: Database) -> int:
    """The id of the request that was written down last; 0 where there is none."""
    with db.read() as connection:
        return connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()


def request_instances(db: Database, row: RequestRow) -> list[tuple[str, str]]:
    """The instances that a waiting request names: pairs of SOP Class UID and SOP Instance UID."""
    with db.read() as connection:
        found = connection.execute(select(table.c.instances).where(table.c.id == row.id)).scalar_one()
    return [(sop_class_uid, sop_instance_uid) for sop_class_uid, sop_instance_uid in found]


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
        ended = {"state": to, "ended_at": now, "not_before": None, "instances": [], **values}
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
