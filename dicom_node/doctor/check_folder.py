"""What lies in the storage folder beside files that rows name: strays, leftovers, permissions, space, leases."""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from dicom_node.disk_space import disk_space
from dicom_node.doctor.examination import Examination
from dicom_node.doctor.verdict import Check, counted
from dicom_node.folders import Folders
from dicom_node.receiver.reconcile import reconcile
from dicom_node.retention import stores_of
from storage.database import Database
from storage.deletion import finish_deletions
from storage.durable import (
    FILE_MODE,
    FOLDER_MODE,
    TEMPORARY_SUFFIX,
    ensure_folder,
    remove_temporary_files,
)
from storage.errors import explained_os_errors
from storage.reception import unregistered
from storage.recovery import release_leases
from storage.schema import deliveries, results, series
from storage.spool import Spool, series_folder

OTHERS = stat.S_IRWXG | stat.S_IRWXO
YOUNG_S = 600.0  # what is younger than this may be at work, where the node runs
ORPHANED_FOLDER = "orphaned"  # below the storage folder; what is put there is nobody's any more


def check_unregistered(db: Database, examination: Examination) -> Check:
    """Images in the spool without a row: a start registers them; repair does it now."""
    spool, running = Spool(examination.folders.spool), examination.running
    paths = [path for path in unregistered(db, list(spool.files())) if _counts(spool.absolute(path), running)]
    if not paths:
        return Check("spool", "ok", "every image in the spool has its row")
    seen = f"{counted(len(paths), 'image')} without a row"
    if not examination.repair:
        return Check("spool", "error", f"{seen}: the next start registers them, or --repair").about(paths)
    reconcile(db, spool, examination.announced_count_tags, examination.clock)
    left = unregistered(db, paths)
    if left:
        said = f"{seen}: registered but {len(left)}, which cannot be read and are left where they are"
        return Check("spool", "error", said).about(left)
    return Check("spool", "repaired", f"{seen}: registered").about(paths)


def check_orphans(db: Database, examination: Examination) -> Check:
    """Results and findings that no row knows; repair puts them aside, and deletes nothing."""
    folders = examination.folders
    orphans = [path for path in _orphans(db, folders) if _counts(path, examination.running)]
    if not orphans:
        return Check("orphans", "ok", "every result and every findings file belongs to a series")
    names = [str(path.relative_to(folders.root)) for path in orphans]
    seen = f"{counted(len(orphans), 'file')} of results or findings without a row"
    if not examination.repair:
        return Check("orphans", "warning", f"{seen}: --repair puts them into {ORPHANED_FOLDER}/").about(names)
    for path, name in zip(orphans, names, strict=True):
        target = folders.root / ORPHANED_FOLDER / name
        ensure_folder(target.parent)
        with explained_os_errors(path):
            path.replace(target)
    return Check("orphans", "repaired", f"{seen}: they are in {ORPHANED_FOLDER}/ now").about(names)


def _orphans(db: Database, folders: Folders) -> Iterator[Path]:
    with db.read() as connection:
        known = {folders.results / path for path in connection.execute(select(results.c.path)).scalars()}
        uids = list(connection.execute(select(series.c.series_instance_uid)).scalars())
        named = set(connection.execute(select(series.c.findings_path)).scalars())
    of_series = {series_folder(uid) for uid in uids}
    for path in _files(folders.results):
        if path not in known:
            yield path
    for path in _files(folders.findings):
        relative = path.relative_to(folders.findings)
        if relative.parts[0] not in of_series and str(relative) not in named:
            yield path


def _files(root: Path) -> Iterator[Path]:
    yield from (
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part.endswith(TEMPORARY_SUFFIX) for part in path.parts)
    )


def check_temporary_files(examination: Examination) -> Check:
    """What interrupted writing left behind; a start removes it too."""
    root = examination.folders.root
    found = [path for path in sorted(root.rglob(f"*{TEMPORARY_SUFFIX}")) if _counts(path, examination.running)]
    if not found:
        return Check("temporary files", "ok", "none is left over")
    names = [str(path.relative_to(root)) for path in found]
    if not examination.repair:
        said = f"{len(found)}: the next start removes them, or --repair"
        return Check("temporary files", "warning", said).about(names)
    remove_temporary_files(root)
    return Check("temporary files", "repaired", f"{len(found)} removed").about(names)


def check_permissions(examination: Examination) -> Check:
    """Files 0600, folders 0700, all of the account that calls."""
    root = examination.folders.root
    paths = [root, *(path for path in sorted(root.rglob("*")) if not path.is_symlink())]
    foreign = [str(path) for path in paths if path.exists() and path.stat().st_uid != os.getuid()]
    if foreign:
        said = f"{counted(len(foreign), 'file')} of another account: call this as the node's account, or chown them"
        return Check("permissions", "error", said).about(foreign)
    open_ones = [path for path in paths if path.exists() and path.stat().st_mode & OTHERS]
    if not open_ones:
        return Check("permissions", "ok", "only the account of the node can read what is here")
    names = [str(path) for path in open_ones]
    seen = f"{counted(len(open_ones), 'file')} that other accounts can use"
    if not examination.repair:
        return Check("permissions", "error", f"{seen}: --repair takes that away").about(names)
    with explained_os_errors(root):
        for path in open_ones:
            path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
    return Check("permissions", "repaired", f"{seen}: taken away").about(names)


def check_space(examination: Examination) -> Check:
    """Whether anything would be received."""
    space = disk_space(examination.settings)
    said = space.words if space.accepting else f"{space.words}; see [retention]"
    return Check("space", "ok" if space.accepting else "error", said)


def check_leases(db: Database, examination: Examination) -> Check:
    """Work that is held by a process that is not there; a start lets go of it too."""
    with db.read() as connection:
        owners = [
            owner
            for table in (series, deliveries)
            for owner in connection.execute(select(table.c.lease_owner)).scalars()
        ]
    running = examination.running
    dead = sorted({owner for owner in owners if owner is not None and not (running and _is_alive(owner))})
    if not dead:
        return Check("leases", "ok", "nothing is held by a process that is not there")
    seen = f"{counted(len(dead), 'lease')} of processes that are not there"
    if not examination.repair:
        return Check("leases", "warning", f"{seen}: the next start lets go of them, or --repair").about(dead)
    release_leases(db, None, examination.clock(), crashed=False)
    return Check("leases", "repaired", f"{seen}: let go of").about(dead)


def check_deletions(db: Database, examination: Examination) -> Check:
    """Deletions that were interrupted; the node finishes them by itself too."""
    with db.read() as connection:
        pending = series.c.source_deletion.is_not(None) | series.c.results_deletion.is_not(None)
        uids = list(connection.execute(select(series.c.series_instance_uid).where(pending)).scalars())
    if not uids:
        return Check("deletions", "ok", "none was interrupted")
    if not examination.repair:
        said = f"{len(uids)} interrupted: the node finishes them, or --repair"
        return Check("deletions", "warning", said).about(uids)
    finish_deletions(db, stores_of(examination.folders), examination.clock(), held=True)
    return Check("deletions", "repaired", f"{len(uids)} finished").about(uids)


def _counts(path: Path, running: bool) -> bool:
    if not running:
        return True
    try:
        return time.time() - path.stat().st_mtime > YOUNG_S
    except FileNotFoundError:
        return False


def _is_alive(owner: str) -> bool:
    """Owners are named `router:17:assembly`."""
    pid = owner.split(":")[1] if owner.count(":") else ""
    return pid.isdigit() and Path(f"/proc/{pid}").exists()
