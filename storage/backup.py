"""A backup of a storage folder while the node runs: one committed state of the database, and every file its rows name.

The order makes it consistent. Deletions are held up; then the database is copied, in one read transaction; then the
files that this copy names. A file is durable before the row that names it, and is not changed afterwards, so that all
of them are there. What comes in meanwhile is not in the backup. The manifest, with the SHA-256 of every file, is
written last: a folder without it is no backup.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

from storage.audit import record
from storage.database import Database, explained
from storage.deletion import Stores
from storage.durable import FILE_MODE, ensure_folder, sync_folder, sync_tree, write_durable
from storage.errors import StorageError, explained_os_errors
from storage.integrity import last_audit_row, schema_revision
from storage.retention_lock import deletions_held_up
from storage.states import ENDED_WELL_STATES

MANIFEST = "manifest.json"
FORMAT = 1
DATABASE_SUFFIX = ".sqlite3"
PIECE_BYTES = 1024**2


@dataclass(frozen=True)
class CopiedFile:
    """What a file of the backup must be, byte for byte."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. files: by their paths in it. missing: named by rows, and not there when it was made."""

    created_at: str
    schema_revision: str
    audit_rows: int
    audit_hash: str
    all_images: bool
    files: dict[str, CopiedFile]
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.files.values())

    @property
    def database(self) -> str:
        """The path of the database in the backup, which holds one."""
        (name,) = [name for name in self.files if name.endswith(DATABASE_SUFFIX)]
        return name

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def back_up(
    db: Database,
    stores: Stores,
    target: Path,
    keys: Sequence[Path],
    *,
    all_images: bool,
    actor: str,
    now: datetime,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Make a backup in the new folder `target`, durable, and write an audit row.

    Without `all_images` only those of series that have not ended well are copied: what is still to be done can be done
    again from there, while an ended series keeps its results. keys: further files of the storage folder.

    Raises:
        StorageError: `target` holds something, cannot be written, the database is damaged, or files are being deleted.
    """
    _check_target(target, stores.root)
    with deletions_held_up(stores.root):
        files = {key.name: copy_file(key, target / key.name) for key in keys if key.exists()}
        copied = target / db.path.name
        _copy_database(db.path, copied)
        wanted = dict(_named_files(copied, stores, all_images=all_images))
        missing = []
        for number, (name, source) in enumerate(wanted.items()):
            progress(number, len(wanted))
            try:
                files[name] = copy_file(source, target / name)
            except FileNotFoundError:
                missing.append(name)
    files[copied.name] = CopiedFile(copied.stat().st_size, digest_of(copied))
    number, last_hash = last_audit_row(copied)
    manifest = Manifest(
        now.isoformat(), schema_revision(copied) or "", number, last_hash, all_images, files, missing
    )
    sync_tree(target)
    with explained_os_errors(target):
        sync_folder(target.parent)
    write_durable(target / MANIFEST, manifest.to_json().encode())
    said = {"target": str(target), "files": len(files), "bytes": manifest.bytes, "missing": len(missing)}
    detail = {**said, "all_images": all_images, "audit_rows": number, "audit_hash": last_hash}
    record(db, "backup-made", now, actor=actor, detail=detail)
    return manifest


def copy_file(source: Path, target: Path) -> CopiedFile:
    """Copy a file durably, its folder apart, and what was copied. Raises FileNotFoundError, StorageError."""
    hasher, size = sha256(), 0
    with _open(source) as source_file:
        ensure_folder(target.parent)
        with explained_os_errors(target):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                while piece := source_file.read(PIECE_BYTES):
                    hasher.update(piece)
                    size += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
    return CopiedFile(size, hasher.hexdigest())


def _open(source: Path) -> BinaryIO:
    """For reading. A file that is not there is the caller's to tell."""
    try:
        return source.open("rb")
    except FileNotFoundError:
        raise
    except OSError:
        with explained_os_errors(source):
            raise


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises StorageError."""
    with explained_os_errors(path), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _check_target(target: Path, root: Path) -> None:
    with explained_os_errors(target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StorageError("a backup needs a new or empty folder", where=str(target), advice="name another one")
        if target.resolve().is_relative_to(root.resolve()):
            raise StorageError("this lies in the storage folder itself", where=str(target), advice="name another one")
    ensure_folder(target)


def _copy_database(source: Path, target: Path) -> None:
    """SQLite's online backup, in one step: writers are not held up, and the copy is one committed state."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    with explained(source), closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file
        (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StorageError(
            f"the database is damaged ({verdict})", where=str(source), advice="look at `dicom-node doctor`"
        )
    with explained_os_errors(target), target.open("rb") as file:
        os.fsync(file.fileno())


def _named_files(database: Path, stores: Stores, *, all_images: bool) -> Iterator[tuple[str, Path]]:
    """Path in the backup and file of everything that rows of the copied database name."""
    marks = ", ".join("?" * len(ENDED_WELL_STATES))
    with closing(sqlite3.connect(database)) as copy:
        images = (
            f"SELECT path FROM instances JOIN series ON series.id = series_id WHERE {_here(copy, 'instances')}"
            f" AND (? OR state NOT IN ({marks}))"
        )
        yield from _under(stores.spool, copy.execute(images, (all_images, *ENDED_WELL_STATES)))
        yield from _under(stores.results, copy.execute(f"SELECT path FROM results WHERE {_here(copy, 'results')}"))
        kept = _here(copy, "series", "results_purged_at")
        found = f"SELECT findings_path FROM series WHERE findings_path IS NOT NULL AND {kept}"
        for (path,) in copy.execute(found):
            yield from _under(stores.findings, [(path,)])
            first = stores.findings / path
            beside = first.parent.glob(f"{first.stem}-*")
            yield from _under(stores.findings, [(one.relative_to(stores.findings),) for one in sorted(beside)])


def _here(copy: sqlite3.Connection, table: str, column: str = "purged_at") -> str:
    """The condition that the files of a row were not deleted; versions before schema 0003 deleted none."""
    columns = {row[1] for row in copy.execute(f"PRAGMA table_info({table})")}
    return f"{table}.{column} IS NULL" if column in columns else "1"


def _under(root: Path, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[str, Path]]:
    for row in rows:
        yield f"{root.name}/{row[0]}", root / str(row[0])
