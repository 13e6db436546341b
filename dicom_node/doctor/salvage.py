"""A database that is damaged beyond what SQLite can read is replaced; what it held is told, and the file is kept.

What takes its place, the first that can: its own rows, where all can be read (indexes are made anew); the database of a
backup; a new one. Then the spool is registered, and results on the disk are taken up, so that every series ends again
with the same results under the same UIDs. Lost are then the audit rows and the deliveries since the backup, or all of
them. The new log says so, with the last hash that could be read.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_node.doctor.adopt_results import adopt_results
from dicom_node.doctor.came_again import give_way
from dicom_node.doctor.examination import Examination
from dicom_node.doctor.verdict import counted
from dicom_node.receiver.reconcile import reconcile
from dicom_node.retention import stores_of
from storage.audit import record, verify
from storage.backup import copy_file
from storage.database import Database, open_as_it_is
from storage.durable import sync_folder, write_durable
from storage.errors import StorageError, explained_os_errors
from storage.integrity import copy_whole, last_audit_row, readable_audit_rows
from storage.losses import mark_absent
from storage.migrating import bring_up_to_date
from storage.restore import read_manifest
from storage.spool import Spool

PARTS = ("-wal", "-shm")  # of a database with a write-ahead log; the file itself goes last
WHY = "not on the disk when the database was replaced"


@dataclass(frozen=True)
class Salvage:
    """Where the old file is kept, how the new one came about, and what could not be brought over."""

    kept: Path | None
    how: str
    lost: str


def salvage_database(examination: Examination) -> Salvage:
    """Replace the database. Only under the node's lock. Raises StorageError."""
    folders, backup, now = examination.folders, examination.backup, examination.clock()
    fresh = folders.database.with_name(f"{folders.database.name}.new")
    fresh.unlink(missing_ok=True)
    last = _last_known(folders.database)
    whole = folders.database.exists() and copy_whole(folders.database, fresh) and _holds(fresh)
    made_at = None if whole or backup is None else _take_from(backup, fresh)
    kept, readable = _set_aside(folders.database, now)
    if fresh.exists():
        with explained_os_errors(fresh):
            fresh.rename(folders.database)
            sync_folder(folders.root)
    db = bring_up_to_date(folders.database, examination.actor, now)
    try:
        event = "database-repaired" if whole else "database-restored" if made_at else "database-rebuilt"
        told = {
            "kept_aside": None if kept is None else kept.name,
            "last_known_row": None if last is None else last[0],
            "last_known_hash": None if last is None else last[1],
            "backup_made_at": made_at,
        }
        record(db, event, now, actor=examination.actor, detail=told)
        seen = _take_up(db, examination, made_at)
    finally:
        db.close()
    if whole:
        return Salvage(kept, f"every row could be read and was written anew; {seen}", "nothing")
    how = f"the backup of {made_at}" if made_at else "a new database"
    return Salvage(kept, f"{how}; {seen}", _describe_loss(made_at, last, readable))


def _last_known(database: Path) -> tuple[int, str] | None:
    if not database.exists() or database.stat().st_size == 0:
        return None
    try:
        return last_audit_row(database)
    except sqlite3.Error:
        return None


def _holds(fresh: Path) -> bool:
    """Whether the audit chain, too, came over without a gap."""
    try:
        db = open_as_it_is(fresh, older=True)
    except StorageError:
        return False
    try:
        return verify(db).ok
    finally:
        db.close()


def _take_from(backup: Path, fresh: Path) -> str:
    manifest = read_manifest(backup)
    source = backup / manifest.database
    with explained_os_errors(source):
        copied = copy_file(source, fresh)
    if copied != manifest.files[manifest.database]:
        fresh.unlink()
        raise StorageError("the database of the backup is damaged", where=str(source), advice="use another one")
    return manifest.created_at


def _set_aside(database: Path, now: datetime) -> tuple[Path | None, int]:
    """Keep the damaged file under a name with the date, and what can be read of its audit log beside it."""
    if not database.exists():
        return None, 0
    kept = database.with_name(f"{database.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    rows = [json.dumps(row) for row in readable_audit_rows(database)]
    if rows:
        write_durable(kept.with_name(f"{kept.name}.audit.jsonl"), ("\n".join(rows) + "\n").encode())
    with explained_os_errors(database):
        for part in (*PARTS, ""):
            file = database.with_name(database.name + part)
            if file.exists():
                file.rename(kept.with_name(kept.name + part))
        sync_folder(database.parent)
    return kept, len(rows)


def _take_up(db: Database, examination: Examination, made_at: str | None) -> str:
    folders, clock = examination.folders, examination.clock
    destinations = [destination.name for destination in examination.settings.destinations]
    absent = mark_absent(db, stores_of(folders), WHY, examination.actor, clock())
    again = 0 if made_at is None else give_way(db, examination, datetime.fromisoformat(made_at))
    images = reconcile(db, Spool(folders.spool), examination.announced_count_tags, clock)
    objects = adopt_results(db, folders.results, destinations, clock())
    other = f" ({again} with other content than the backup's)" if again else ""
    seen = f"{counted(images, 'image')} registered from the spool{other}, {counted(objects, 'result')} from the outbox"
    gone = absent["images_absent"] + absent["results_absent"]
    return f"{seen}, {gone} in the database and not on the disk" if gone else seen


def _describe_loss(made_at: str | None, last: tuple[int, str] | None, readable: int) -> str:
    known = "its last row cannot be read" if last is None else f"its last row was {last[0]}, hash {last[1]}"
    aside = f"; {counted(readable, 'row')} could be read, and lie beside it (.audit.jsonl)" if readable else ""
    since = f"since {made_at}" if made_at else "all of it"
    return f"the audit log, {since} ({known}{aside}), and what was delivered when"
