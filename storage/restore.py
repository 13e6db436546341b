"""Putting a backup into an empty storage folder, checked, so that the node goes on from there."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from storage.audit import append
from storage.backup import DATABASE_SUFFIX, FORMAT, MANIFEST, CopiedFile, Manifest, copy_file
from storage.deletion import Stores
from storage.durable import ensure_folder, sync_folder, sync_tree
from storage.errors import StorageError, explained_os_errors
from storage.losses import mark_absent
from storage.migrating import bring_up_to_date
from storage.recovery import release_leases
from storage.schema import SCHEMA_REVISION


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
    others = [name for name in manifest.files if name != manifest.database]
    for number, name in enumerate(others):
        progress(number, len(manifest.files))
        _bring(source, name, stores.root / name, manifest)
    progress(len(others), len(manifest.files))
    sync_tree(stores.root)
    fresh = database.with_name(f"{database.name}.new")
    _bring(source, manifest.database, fresh, manifest)
    with explained_os_errors(database):
        fresh.rename(database)
        sync_folder(database.parent)
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


def _bring(source: Path, name: str, target: Path, manifest: Manifest) -> None:
    with explained_os_errors(source / name):
        target.unlink(missing_ok=True)  # of a restore that was interrupted, or a key that an empty node has made
        copied = copy_file(source / name, target)
    if copied != manifest.files[name]:
        raise StorageError(
            "this is not the file that was backed up",
            where=str(source / name),
            advice="the backup is damaged; use another one, and empty the storage folder before",
        )


def _take_up(database: Path, stores: Stores, manifest: Manifest, actor: str, now: datetime) -> None:
    db = bring_up_to_date(database, actor, now)
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
