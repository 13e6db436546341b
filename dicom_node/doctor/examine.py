"""The examination of a storage folder, from the database outwards."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dicom_node.clock import Clock
from dicom_node.doctor.check_files import check_findings, check_images, check_results
from dicom_node.doctor.check_folder import (
    check_deletions,
    check_leases,
    check_orphans,
    check_permissions,
    check_space,
    check_temporary_files,
    check_unregistered,
)
from dicom_node.doctor.examination import Examination, Progress
from dicom_node.doctor.salvage import salvage_database
from dicom_node.doctor.verdict import Check
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.lost_database import files_of_a_node
from dicom_node.node_account import refuse_other_account
from dicom_node.settings import Settings
from storage.audit import record, verify
from storage.database import Database, open_database
from storage.errors import AlreadyRunning
from storage.integrity import DatabaseVerdict, examine_database, schema_revision
from storage.lock_holders import describe_lock_holders
from storage.node_lock import NodeLock
from storage.retention_lock import deletions_held_up
from storage.schema import SCHEMA_REVISION

OF_THE_FOLDER = (check_temporary_files, check_permissions, check_space)
OF_THE_ROWS = (
    check_deletions,
    check_leases,
    check_images,
    check_unregistered,
    check_results,
    check_findings,
    check_orphans,
)
"""In this order: what is mended first may put right what is looked at later."""


def examine(
    settings: Settings,
    *,
    repair: bool,
    deep: bool,
    backup: Path | None,
    actor: str,
    clock: Clock,
    progress: Progress = lambda what, done, total: None,
) -> list[Check]:
    """Look at everything; with `repair` mend what can be, under the node's lock, and write an audit row.

    Raises:
        NodeError: there is no storage folder.
        AlreadyRunning: the node runs, and something was to be repaired.
        StorageError: a repair could not be made.
    """
    folders = Folders(settings.storage.folder)
    if not folders.root.is_dir():
        raise NodeError("there is no storage folder", where=str(folders.root), advice="see storage.folder")
    if not folders.database.exists() and not any(files_of_a_node(folders)):
        raise NodeError("no node has run in this folder", where=str(folders.root), advice="see storage.folder")
    if repair:
        refuse_other_account(folders.root, "repairs")
    with _held(folders.root, repair) as running:
        examination = Examination(settings, running, repair, deep, backup, actor, clock, progress)
        first = _check_database(examination)
        checks = [first, *(check(examination) for check in OF_THE_FOLDER)]
        if first.failed or schema_revision(folders.database) != SCHEMA_REVISION:
            return checks
        db = open_database(folders.database)
        try:
            checks += [_check_audit(db), *(check(db, examination) for check in OF_THE_ROWS)]
            repaired = [check.name for check in checks if check.level == "repaired"]
            if repaired:
                record(db, "repaired", clock(), actor=actor, detail={"checks": repaired})
        finally:
            db.close()
    return checks


@contextmanager
def _held(root: Path, repair: bool) -> Iterator[bool]:
    """Whether a node runs; where none does, none starts meanwhile."""
    with ExitStack() as stack:
        try:
            stack.enter_context(NodeLock(root))
        except AlreadyRunning:
            if repair:
                raise
            yield True
            return
        if repair:
            stack.enter_context(deletions_held_up(root))
        yield False


def _check_database(examination: Examination) -> Check:
    database = examination.folders.database
    verdict = examine_database(database)
    if verdict.locked:
        said = f"it is locked by {describe_lock_holders(database)}; look whether it hangs"
        return Check("database", "error", said).about(verdict.problems)
    if verdict.problems:
        return _mend_database(examination, verdict)
    if verdict.schema_revision is None:
        return Check("database", "error", "it is whole, and no node has made it")
    if verdict.schema_revision < SCHEMA_REVISION:
        said = f"whole, of an older version ({verdict.schema_revision}): a start brings it up to date; then look again"
        return Check("database", "warning", said)
    if verdict.schema_revision > SCHEMA_REVISION:
        return Check("database", "error", f"a newer version of the node made it ({verdict.schema_revision})")
    return Check("database", "ok", "whole: pages, indexes, references")


def _mend_database(examination: Examination, verdict: DatabaseVerdict) -> Check:
    if not examination.repair:
        advice = "stop the node; --repair replaces it, with --backup FOLDER from a backup; the file is kept"
        return Check("database", "error", f"damaged; {advice}").about(verdict.problems)
    done = salvage_database(examination)
    kept = f"the old file is {done.kept.name}" if done.kept else "there was no file"
    return Check("database", "repaired", f"damaged; {kept}. Now: {done.how}. Lost: {done.lost}").about(verdict.problems)


def _check_audit(db: Database) -> Check:
    result = verify(db)
    if result.ok:
        return Check("audit log", "ok", f"intact: {result.rows} rows, last hash {result.last_hash}")
    said = f"BROKEN at row {result.first_bad}: {result.problem}; nothing mends that: keep a copy of the folder as it is"
    return Check("audit log", "error", said)
