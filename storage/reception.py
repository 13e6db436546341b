"""Reception: instances that lie in the spool become rows, and a late one re-opens its series."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from storage.database import Database
from storage.delivery_moves import supersede
from storage.moves import change_series, move_series, note
from storage.rows import SeriesRow
from storage.schema import deliveries, instances, series
from storage.series import count_missing, find_series, require_series
from storage.spool import Arrival, is_conflict_path
from storage.states import OPEN_DELIVERY_STATES, DeliveryState, SeriesState

PATHS_PER_STATEMENT = 500

FORGET_DECISION = {
    "outcome": None,
    "urgent": False,
    "reason_code": None,
    "reason_detail": None,
    "refusal_code": None,
    "refusal_detail": None,
    "findings_path": None,
    "weights_sha256": None,
    "lesion_count": None,
    "concluded_at": None,
    "ended_at": None,
    "results_purged_at": None,
}


@dataclass(frozen=True)
class ReceivedInstance:
    """An instance that the spool holds, with what its association and header told."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    sha256: str
    size: int
    arrival: Arrival
    calling_ae_title: str
    address: str | None
    received_at: datetime
    announced_instances: int | None = None


def record_instances(db: Database, received: Sequence[ReceivedInstance], now: datetime) -> None:
    """Register a batch of instances in one transaction; those that have a row already change nothing.

    So a batch may be recorded again after a crash, and files that a crash left without a row may be recorded
    as they are found. A new instance of a series that is past RECEIVING re-opens it: next revision, lease and
    decision dropped, deliveries that were not sent yet withdrawn. An instance whose file was deleted is new when
    it comes again; a duplicate that came while its file was still there was deleted with it.
    """
    with db.transaction() as connection:
        arrived = {one.path for one in received if one.arrival != Arrival.DUPLICATE}
        paths = [one.path for one in received]
        known = _known_paths(connection, paths) | (_purged_paths(connection, paths) - arrived)
        for of_one_series in _by_series(received):
            _record_series(connection, of_one_series, known, now)


def unregistered(db: Database, spool_files: Iterable[str]) -> list[str]:
    """Those spool paths that have no row: a crash came between file and row.

    Files whose deletion was interrupted have theirs.
    """
    missing: list[str] = []
    with db.read() as connection:
        for paths in in_chunks(spool_files):
            known = _known_paths(connection, paths) | _paths_in_deletion(connection, paths)
            missing.extend(path for path in paths if path not in known)
    return missing


def _known_paths(connection: Connection, paths: Sequence[str]) -> set[str]:
    return _paths_where(connection, paths, instances.c.purged_at.is_(None))


def _purged_paths(connection: Connection, paths: Sequence[str]) -> set[str]:
    return _paths_where(connection, paths, instances.c.purged_at.is_not(None))


def _paths_in_deletion(connection: Connection, paths: Sequence[str]) -> set[str]:
    in_deletion = select(series.c.id).where(series.c.source_deletion.is_not(None))
    return _paths_where(connection, paths, instances.c.purged_at.is_not(None), instances.c.series_id.in_(in_deletion))


def _paths_where(connection: Connection, paths: Sequence[str], *conditions: ColumnElement[bool]) -> set[str]:
    found: set[str] = set()
    for chunk in in_chunks(paths):
        query = select(instances.c.path).where(instances.c.path.in_(chunk), *conditions)
        found.update(connection.execute(query).scalars())
    return found


def in_chunks(paths: Iterable[str]) -> Iterator[list[str]]:
    """As many at a time as one statement takes."""
    rest = iter(paths)
    while chunk := list(islice(rest, PATHS_PER_STATEMENT)):
        yield chunk


def _by_series(received: Iterable[ReceivedInstance]) -> Iterable[list[ReceivedInstance]]:
    groups: dict[str, list[ReceivedInstance]] = {}
    for one in received:
        groups.setdefault(one.series_instance_uid, []).append(one)
    return groups.values()


def _record_series(
    connection: Connection, received: list[ReceivedInstance], known: set[str], now: datetime
) -> None:
    """A duplicate whose first arrival never got its row (a crash came between) counts as that arrival."""
    first: dict[str, ReceivedInstance] = {}
    for one in received:
        if one.path not in known:
            first.setdefault(one.path, one)
    fresh = list(first.values())
    again = [one for one in received if one.arrival == Arrival.DUPLICATE and first.get(one.path) is not one]
    if not fresh and not again:
        return
    row = find_series(connection, received[0].series_instance_uid) or _open(connection, received[0], now)
    if fresh and row.state != SeriesState.RECEIVING:
        row = _reopen(connection, row, fresh[0], now)
    conflicts = [one for one in fresh if is_conflict_path(one.path)]
    if fresh:
        _replace_purged(connection, row, fresh, now)
        _insert(connection, row, fresh)
    if row.state == SeriesState.RECEIVING:
        _update(connection, row, [*fresh, *again], len(fresh) - len(conflicts), bool(conflicts))
    _note_each(connection, row, "instance-conflict", conflicts, now)
    _note_each(connection, row, "instance-duplicate", again, now)


def _open(connection: Connection, first: ReceivedInstance, now: datetime) -> SeriesRow:
    connection.execute(
        insert(series).values(
            series_instance_uid=first.series_instance_uid,
            study_instance_uid=first.study_instance_uid,
            state=SeriesState.RECEIVING,
            revision=1,
            instance_count=0,
            conflicting=False,
            urgent=False,
            sender_ae_title=first.calling_ae_title,
            sender_address=first.address,
            first_received_at=first.received_at,
            last_received_at=first.received_at,
            attempts=0,
            crashes=0,
        )
    )
    row = require_series(connection, first.series_instance_uid)
    detail = {"study_instance_uid": first.study_instance_uid, "sender_address": first.address}
    note(connection, row, "series-opened", detail, actor=first.calling_ae_title, now=now)
    return row


def _reopen(connection: Connection, row: SeriesRow, late: ReceivedInstance, now: datetime) -> SeriesRow:
    """The audit row names the first sender of the series where another one re-opens it."""
    said = {"sop_instance_uid": late.sop_instance_uid, "sender_address": late.address}
    if row.sender_ae_title != late.calling_ae_title:
        said["first_sender"] = row.sender_ae_title
    begin_revision(connection, row, "series-reopened", said, late.calling_ae_title, now)
    return require_series(connection, row.series_instance_uid)


def begin_revision(
    connection: Connection, row: SeriesRow, event: str, detail: Mapping[str, object], actor: str, now: datetime
) -> None:
    """Any state -> RECEIVING, of the next revision: decision and findings are forgotten, what waits is withdrawn.

    Raises LostClaim.
    """
    said = {
        "from": row.state,
        "next_revision": row.revision + 1,
        **detail,
        "withdrawn": _withdraw(connection, row, now),
    }
    move_series(
        connection,
        row,
        SeriesState.RECEIVING,
        event,
        said,
        actor=actor,
        now=now,
        revision=row.revision + 1,
        **FORGET_DECISION,
    )


def _withdraw(connection: Connection, row: SeriesRow, now: datetime) -> list[str]:
    """The destinations that are not to be sent the results of the revision that ends here."""
    withdrawn = connection.execute(
        update(deliveries)
        .where(deliveries.c.series_id == row.id, deliveries.c.state.in_(OPEN_DELIVERY_STATES))
        .values(state=DeliveryState.WITHDRAWN, lease_owner=None, lease_expires_at=None, ended_at=now)
        .returning(deliveries.c.id, deliveries.c.destination)
    ).all()
    supersede(connection, [one.id for one in withdrawn], now)
    return sorted(one.destination for one in withdrawn)


def _replace_purged(connection: Connection, row: SeriesRow, fresh: list[ReceivedInstance], now: datetime) -> None:
    """Rows whose files were deleted give way to those of the files that came again."""
    digests = {one.path: one.sha256 for one in fresh}
    back: dict[str, str] = {}
    for paths in in_chunks(digests):
        purged = instances.c.path.in_(paths) & instances.c.purged_at.is_not(None)
        rows = connection.execute(delete(instances).where(purged).returning(instances.c.path, instances.c.sha256))
        back |= {one.path: one.sha256 for one in rows}
    if not back:
        return
    missing = count_missing(connection, row.id)
    detail = {
        "instances": len(back),
        "with_other_content": sum(digests[path] != sha256 for path, sha256 in back.items()),
        "still_missing": missing,
    }
    change_series(connection, row, source_purged_at=row.source_purged_at if missing else None)
    note(connection, row, "instances-returned", detail, actor=fresh[0].calling_ae_title, now=now)


def _insert(connection: Connection, row: SeriesRow, fresh: list[ReceivedInstance]) -> None:
    connection.execute(
        insert(instances),
        [
            {
                "series_id": row.id,
                "study_instance_uid": one.study_instance_uid,
                "sop_instance_uid": one.sop_instance_uid,
                "sop_class_uid": one.sop_class_uid,
                "transfer_syntax_uid": one.transfer_syntax_uid,
                "path": one.path,
                "sha256": one.sha256,
                "size": one.size,
                "conflict": is_conflict_path(one.path),
                "revision": row.revision,
                "calling_ae_title": one.calling_ae_title,
                "address": one.address,
                "received_at": one.received_at,
            }
            for one in fresh
        ],
    )


def _update(
    connection: Connection, row: SeriesRow, arrived: list[ReceivedInstance], added: int, conflict: bool
) -> None:
    """A duplicate adds nothing, but shows that the sender is still at it."""
    announced = [one.announced_instances for one in arrived] + [row.announced_instances]
    change_series(
        connection,
        row,
        instance_count=row.instance_count + added,
        announced_instances=max((count for count in announced if count and count > 0), default=None),
        conflicting=row.conflicting or conflict,
        first_received_at=min([row.first_received_at, *(one.received_at for one in arrived)]),
        last_received_at=max([row.last_received_at, *(one.received_at for one in arrived)]),
    )


def _note_each(
    connection: Connection, row: SeriesRow, event: str, arrived: Iterable[ReceivedInstance], now: datetime
) -> None:
    for one in arrived:
        said = {"sop_instance_uid": one.sop_instance_uid, "sha256": one.sha256, "sender_address": one.address}
        note(connection, row, event, said, actor=one.calling_ae_title, now=now)
