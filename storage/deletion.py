"""Deleting the files of an ended series, so that a crash at any moment leaves nothing untold and nothing undone.

Images, under a lock that holds up whoever stores an instance of the series:

1. one transaction checks again that the series has ended well and that every file in its folder has a row, marks the
   rows, and writes the audit row;
2. the folder is renamed;
3. the mark that a deletion is under way is taken back.

Then the renamed folder is deleted. So a file that comes again finds either the old one in its place (a duplicate, which
goes with it) or a free name (it is new), and nobody deletes a file that came after the deletion. After a crash between
1 and 2 `finish_deletions` goes on from 2; where a late slice came in between it takes the deletion back instead, since
all files are there still. After a crash behind 2 the renamed folder tells that it is to be deleted.

Results and findings: 1 as above, with the revision; then files of that revision and of earlier ones are deleted, whose
names are never used again, so that it may be done twice; then 3.
"""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Column, Connection, select, update

from storage.database import Database
from storage.errors import explained_os_errors
from storage.moves import change_series, note
from storage.retention import Cause
from storage.retention_lock import deletions_held_up
from storage.rows import SeriesRow
from storage.schema import instances, results, series
from storage.series import count_here, find_series, require_series
from storage.spool import Spool, series_folder
from storage.spool_deletion import SeriesFiles, folders_set_aside, hold_series, remove_set_aside
from storage.states import ENDED_WELL_STATES


@dataclass(frozen=True)
class Stores:
    """The folders that rows refer to; `root` is the storage folder, which they lie in."""

    root: Path
    spool: Path
    results: Path
    findings: Path


def delete_images(
    db: Database, stores: Stores, series_instance_uid: str, cause: Cause, actor: str, now: datetime
) -> bool:
    """Delete the images of a series; whether that was still right, and done.

    Raises StorageError where a file cannot be deleted (`finish_deletions` tries again) or a backup is being made.
    """
    spool, folder = Spool(stores.spool), series_folder(series_instance_uid)
    with deletions_held_up(stores.root):
        _finish_images(db, spool, series_instance_uid, now)
        remove_set_aside(stores.spool, folder)
        with hold_series(spool, folder) as files:
            if not _mark_images(db, series_instance_uid, files.paths, cause, actor, now):
                return False
            _set_aside(db, series_instance_uid, files)
        remove_set_aside(stores.spool, folder)
    return True


def delete_results(
    db: Database, stores: Stores, series_instance_uid: str, cause: Cause, actor: str, now: datetime
) -> bool:
    """Delete results and findings of a series, of all its revisions; whether that was still right, and done.

    Raises StorageError as `delete_images`.
    """
    with deletions_held_up(stores.root):
        if not _mark_results(db, series_instance_uid, cause, actor, now):
            return False
        _finish_results(db, stores, series_instance_uid)
    return True


def finish_deletions(db: Database, stores: Stores, now: datetime, *, held: bool = False) -> int:
    """Go on with deletions that were interrupted; how many there were. held: the caller holds up all others.

    Raises StorageError as `delete_images`.
    """
    spool = Spool(stores.spool)
    with nullcontext() if held else deletions_held_up(stores.root):
        of_images = _uids(db, series.c.source_deletion)
        of_results = _uids(db, series.c.results_deletion)
        for series_instance_uid in of_images:
            _finish_images(db, spool, series_instance_uid, now)
        left_over = folders_set_aside(stores.spool)
        for folder in left_over:
            remove_set_aside(stores.spool, folder)
        for series_instance_uid in of_results:
            _finish_results(db, stores, series_instance_uid)
    return len({*map(series_folder, of_images), *left_over}) + len(of_results)


def _uids(db: Database, mark: Column[int]) -> list[str]:
    with db.read() as connection:
        query = select(series.c.series_instance_uid).where(mark.is_not(None)).order_by(series.c.id)
        return list(connection.execute(query).scalars())


def _mark_images(
    db: Database, series_instance_uid: str, there: frozenset[str], cause: Cause, actor: str, now: datetime
) -> bool:
    """Not where a file has no row yet: it is being registered, and will re-open the series."""
    with db.transaction() as connection:
        row = _ended(connection, series_instance_uid)
        if row is None:
            return False
        here = (instances.c.series_id == row.id) & instances.c.purged_at.is_(None)
        found = connection.execute(select(instances.c.path, instances.c.size).where(here))
        sizes = {one.path: one.size for one in found}
        if not sizes or not there <= sizes.keys():
            return False
        connection.execute(update(instances).where(here).values(purged_at=now))
        forgotten = {"instance_count": 0, "announced_instances": None, "conflicting": False}
        change_series(connection, row, source_purged_at=now, source_deletion=row.revision, **forgotten)
        detail = {"because": cause, "instances": len(sizes), "bytes": sum(sizes.values()), "ended_at": _text(row)}
        note(connection, row, "images-deleted", detail, actor=actor, now=now)
    return True


def _ended(connection: Connection, series_instance_uid: str) -> SeriesRow | None:
    """The series, where it may be deleted. Raises UnknownSeries."""
    row = require_series(connection, series_instance_uid)
    if row.state not in ENDED_WELL_STATES or row.source_deletion is not None or row.results_deletion is not None:
        return None
    return row


def _set_aside(db: Database, series_instance_uid: str, files: SeriesFiles) -> None:
    files.set_aside()
    _take_back(db, series_instance_uid, source_deletion=None)


def _finish_images(db: Database, spool: Spool, series_instance_uid: str, now: datetime) -> None:
    with hold_series(spool, series_folder(series_instance_uid)) as files:
        with db.read() as connection:
            row = find_series(connection, series_instance_uid)
            if row is None or row.source_deletion is None:
                return
            purged = (instances.c.series_id == row.id) & instances.c.purged_at.is_not(None)
            paths = frozenset(connection.execute(select(instances.c.path).where(purged)).scalars())
        if files.set_aside_before:
            _take_back(db, series_instance_uid, source_deletion=None)
        elif files.paths <= paths:
            _set_aside(db, series_instance_uid, files)
        else:
            _undo(db, series_instance_uid, files.paths & paths, now)


def _undo(db: Database, series_instance_uid: str, paths: frozenset[str], now: datetime) -> None:
    """A late slice came before the files were taken away: they are there still, and it is no fragment."""
    with db.transaction() as connection:
        row = require_series(connection, series_instance_uid)
        again = (instances.c.series_id == row.id) & instances.c.path.in_(paths)
        connection.execute(update(instances).where(again).values(purged_at=None))
        here = (instances.c.series_id == row.id) & instances.c.purged_at.is_(None)
        in_conflict = select(instances.c.id).where(here, instances.c.conflict.is_(True)).limit(1)
        change_series(
            connection,
            row,
            instance_count=count_here(connection, row.id),
            conflicting=connection.execute(in_conflict).first() is not None,
            source_deletion=None,
            source_purged_at=None,
        )
        note(connection, row, "images-kept", {"instances": len(paths)}, actor="node", now=now)


def _mark_results(db: Database, series_instance_uid: str, cause: Cause, actor: str, now: datetime) -> bool:
    with db.transaction() as connection:
        row = _ended(connection, series_instance_uid)
        if row is None or row.results_purged_at is not None:
            return False
        here = (results.c.series_id == row.id) & results.c.purged_at.is_(None)
        sizes = list(connection.execute(select(results.c.size).where(here)).scalars())
        connection.execute(update(results).where(here).values(purged_at=now))
        change_series(connection, row, results_purged_at=now, results_deletion=row.revision)
        detail = {"because": cause, "results": len(sizes), "bytes": sum(sizes), "ended_at": _text(row)}
        note(connection, row, "results-deleted", detail, actor=actor, now=now)
    return True


def _finish_results(db: Database, stores: Stores, series_instance_uid: str) -> None:
    with db.read() as connection:
        row = find_series(connection, series_instance_uid)
        if row is None or row.results_deletion is None:
            return
        purged = (results.c.series_id == row.id) & results.c.purged_at.is_not(None)
        paths = list(connection.execute(select(results.c.path).where(purged)).scalars())
    folder = series_folder(series_instance_uid)
    with explained_os_errors(stores.root):
        for path in paths:
            (stores.results / path).unlink(missing_ok=True)
        for revision in range(1, row.results_deletion + 1):
            if (stores.results / folder / str(revision)).exists():
                shutil.rmtree(stores.results / folder / str(revision))
            _remove_findings(stores.findings / folder / f"{revision}.npz")
        if row.findings_path is not None and row.revision == row.results_deletion:
            _remove_findings(stores.findings / row.findings_path)
    _take_back(db, series_instance_uid, results_deletion=None)


def _remove_findings(path: Path) -> None:
    """The findings and what lies beside them under their name: scores, risk."""
    path.unlink(missing_ok=True)
    for beside in path.parent.glob(f"{path.stem}-*"):
        beside.unlink(missing_ok=True)


def _take_back(db: Database, series_instance_uid: str, **mark: None) -> None:
    """Whatever state the series is in by now."""
    with db.transaction() as connection:
        connection.execute(update(series).where(series.c.series_instance_uid == series_instance_uid).values(**mark))


def _text(row: SeriesRow) -> str | None:
    return None if row.ended_at is None else row.ended_at.isoformat()
