"""The part of `check-config` that asks about the storage folder: whether it can be written, its disk, its database."""

import errno
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dicom_node.commands.checks import Check
from dicom_node.disk_space import disk_space
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.lost_database import refuse_lost_database
from dicom_node.settings import Settings
from storage.errors import OUT_OF_SPACE, StorageError
from storage.integrity import schema_revision
from storage.schema import SCHEMA_REVISION

NO_FOLDER = (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)  # the setting names what can never be one


def check_storage(settings: Settings) -> Iterator[Check]:
    """Changes nothing."""
    yield _check_folder(settings.storage.folder)
    yield from _check_space(settings)
    yield from _check_database(Folders(settings.storage.folder))


def _check_folder(folder: Path) -> Check:
    """Makes no folder: run by another account than the node's, it would be that account's."""
    standing = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    what = str(folder) if standing == folder else f"{folder} is not there yet; {standing}"
    try:
        tempfile.TemporaryFile(dir=standing).close()
        owner = pwd.getpwuid(standing.stat().st_uid).pw_name
    except OSError as error:
        said = f"{what} cannot be written ({error.strerror}): see storage.folder"
        full = error.errno in OUT_OF_SPACE
        return Check("folder", "error", said, prevents_start=not full, may_pass=error.errno not in NO_FOLDER)
    except KeyError:
        owner = "an account without a name"
    return Check("folder", "ok", f"{what} can be written, owner {owner}")


def _check_space(settings: Settings) -> Iterator[Check]:
    """What is waiting in a node whose disk is full must go on, and makes room: no reason not to start."""
    try:
        space = disk_space(settings)
    except (OSError, StorageError):  # the check of the folder says so
        return
    yield Check("disk", "ok" if space.accepting else "error", space.words, prevents_start=False)


def _check_database(folders: Folders) -> Iterator[Check]:
    """Nothing is said of a folder in which no node has run."""
    try:
        refuse_lost_database(folders)
        if not folders.database.exists() or folders.database.stat().st_size == 0:
            return
    except NodeError as error:
        yield Check("database", "error", str(error))
        return
    except OSError:  # not ours to read, or no folder: the check of the folder says so
        return
    yield _check_revision(schema_revision(folders.database))


def _check_revision(revision: str | None) -> Check:
    if revision is None:
        said = "it cannot be read, or no node has made it: `dicom-node doctor` says more"
        return Check("database", "error", said, prevents_start=False)  # locked, it may; damaged, `serve` says how
    if revision > SCHEMA_REVISION:
        said = f"a newer version made it ({revision}; this one knows {SCHEMA_REVISION}): install that version again"
        return Check("database", "error", said)
    if revision < SCHEMA_REVISION:
        return Check("database", "warning", f"of an older version ({revision}); a start brings it up to date")
    return Check("database", "ok", f"of this version ({revision})")
