"""Putting a backup into an empty storage folder, checked, so that the node goes on from there."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from storage.audit import append
from storage.backup import FORMAT, MANIFEST, CopiedFile, Manifest, copy_file
from storage.database import Database, open_database
from storage.deletion import Stores
from storage.durable import ensure_folder, sync_folder
from storage.errors import StorageError, explained_os_errors
from storage.losses import mark_lost_images
from storage.recovery import release_leases
from storage.rows import series_row
from storage.schema import SCHEMA_REVISION, instances, results, series

DATABASE_SUFFIX = ".sqlite3"


def restore(
    source: Path,
    stores: Stores,
    database: Path,
    *,
    actor: str,
    now: datetime,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Copy a backup into the storage folder; every file is compared with the manifest on the way.

    The database comes last, so that an interrupted restore leaves no node behind. Rows whose files are not in the
    backup are marked: images of ended series as deleted; a series that has not ended and lacks images is looked at
    again, and refused with the code images-deleted. Call it under the node's lock.

    Raises:
        StorageError: no whole backup, of a newer version, a file differs, or the storage folder is not empty.
    """
    manifest = read_manifest(source)
    _check_empty(stores, database)
    names = sorted(manifest.files, key=lambda name: name.endswith(DATABASE_SUFFIX))
    for number, name in enumerate(names):
        progress(number, len(names))
        target = database if name.endswith(DATABASE_SUFFIX) else stores.root / name
        if name == names[-1]:
            _sync(stores.root)
            _check(source / name, _copy(source / name, target.with_name(f"{target.name}.new")), manifest.files[name])
            with explained_os_errors(target):
                target.with_name(f"{target.name}.new").rename(target)
                sync_folder(target.parent)
        else:
            _check(source / name, _copy(source / name, target), manifest.files[name])
    _take_up(database, stores, manifest, actor, now)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Raises StorageError where there is none, or it is not one that this version can restore."""
    path = source / MANIFEST
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = {name: CopiedFile(**one) for name, one in values.pop("files").items()}
        manifest = Manifest(files=files, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageError(
            f"this is no whole backup ({type(error).__name__})",
            where=str(path),
            advice="name a folder that `dicom-node backup` has made and ended with success",
        ) from error
    if manifest.format != FORMAT or manifest.schema_revision > SCHEMA_REVISION:
        raise StorageError(
            "a newer version of the node made this backup", where=str(path), advice="install that version"
        )
    if sum(name.endswith(DATABASE_SUFFIX) for name in files) != 1 or not all(map(_is_inside, files)):
        raise StorageError("the manifest names files that no backup has", where=str(path))
    return manifest


def _is_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _check_empty(stores: Stores, database: Path) -> None:
    holders = (stores.spool, stores.results, stores.findings)
    full = [path for path in holders if path.is_dir() and any(path.iterdir())]
    full += [path for path in (database,) if path.exists()]
    if full:
        raise StorageError(
            f"there is a node already ({', '.join(path.name for path in full)})",
            where=str(stores.root),
            advice="name an empty folder in [storage] folder, or move this one away",
        )
    ensure_folder(stores.root)


def _copy(source: Path, target: Path) -> CopiedFile:
    with explained_os_errors(source):
        if target.exists():
            target.unlink()  # of a restore that was interrupted, or a key that an empty node has made
        return copy_file(source, target)


def _check(source: Path, copied: CopiedFile, expected: CopiedFile) -> None:
    if copied != expected:
        raise StorageError(
            "this is not the file that was backed up",
            where=str(source),
            advice="the backup is damaged; use another one, and empty the storage folder before",
        )


def _sync(root: Path) -> None:
    with explained_os_errors(root):
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            sync_folder(folder)


def _take_up(database: Path, stores: Stores, manifest: Manifest, actor: str, now: datetime) -> None:
    db = open_database(database)
    try:
        lost = mark_absent(db, stores, "not in the backup", actor, now)
        release_leases(db, None, now, crashed=False)
        detail = {
            "made_at": manifest.created_at,
            "audit_rows": manifest.audit_rows,
            "audit_hash": manifest.audit_hash,
            **lost,
        }
        with db.transaction() as connection:
            append(connection, "backup-restored", now, actor=actor, detail=detail)
    finally:
        db.close()


def mark_absent(db: Database, stores: Stores, why: str, actor: str, now: datetime) -> dict[str, int]:
    """Rows whose files are not there are marked as deleted; how many of which kind."""
    with db.transaction() as connection:
        images = 0
        for row in connection.execute(select(series).order_by(series.c.id)).all():
            here = (instances.c.series_id == row.id) & instances.c.purged_at.is_(None)
            paths = connection.execute(select(instances.c.path).where(here)).scalars()
            absent = [path for path in paths if not (stores.spool / path).is_file()]
            if absent:
                mark_lost_images(connection, series_row(row), absent, why, actor, now)
            images += len(absent)
        absent_results = _mark_results(connection, stores, now)
    return {"images_absent": images, "results_absent": absent_results}


def _mark_results(connection: Connection, stores: Stores, now: datetime) -> int:
    query = select(results.c.id, results.c.path).where(results.c.purged_at.is_(None))
    absent = [row.id for row in connection.execute(query) if not (stores.results / row.path).is_file()]
    for number in absent:
        connection.execute(update(results).where(results.c.id == number).values(purged_at=now))
    return len(absent)
