"""The SQLite database of a node: opened, migrated, and handed out as transactions."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from storage.durable import FILE_MODE, ensure_folder, sync_folder
from storage.errors import ADVICE, CorruptDatabase, DiskFull, StorageError, explained_os_errors
from storage.lock_holders import describe_lock_holders
from storage.schema import SCHEMA_REVISION

BUSY_TIMEOUT_S = 30.0  # a write transaction lasts milliseconds; waiting this long means that somebody hangs
CONNECTIONS_KEPT = 5  # a process has some threads, each with one transaction at a time
MIGRATIONS = Path(__file__).parent / "migrations"
BEGIN_MODE = "storage_begin_mode"

Migrated = Callable[[Connection, str], None]  # told, in the same transaction, which revision it was


class Database:
    """One database file; safe for several threads, and for several processes that each open it."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self.path = path

    @contextmanager
    def transaction(self, *, keep: bool = True) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; committed at its end, rolled back on error.

        keep: False has it rolled back at its end in any case: to see what it would have done.

        Raises:
            DiskFull, CorruptDatabase, StorageError: the database cannot be written.
        """
        writing = self._engine.execution_options(**{BEGIN_MODE: "IMMEDIATE"})
        with explained(self.path), writing.connect() as connection, connection.begin() as begun:
            yield connection
            if not keep:
                begun.rollback()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction for reading: sees one committed state, waits for no writer and holds none up."""
        with explained(self.path), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections. The database may be opened again."""
        self._engine.dispose()


def open_database(path: Path, migrated: Migrated = lambda _connection, _revision: None) -> Database:
    """Open the database at `path`; create it, and bring its tables up to date, where needed.

    Several processes may call this at once: one migrates while the others wait for a file lock. `migrated` is called
    where the tables of an older version were brought up to date.

    Raises:
        DiskFull, StorageError: the file cannot be made or written, or a newer version of the node wrote it.
        CorruptDatabase: the file is no SQLite database, or a damaged one.
    """
    ensure_folder(path.parent)
    with _file_lock(path.with_name(f"{path.name}.lock")):
        _create_private_file(path)
        return _open(path, lambda engine: _bring_up_to_date(engine, path, migrated))


def open_as_it_is(path: Path, *, older: bool = False) -> Database:
    """Open the database that is at `path`, and leave its tables as they are. `older`: those of an older version too.

    Raises:
        StorageError: it cannot be used, or another version of the node made it.
        CorruptDatabase: the file is no SQLite database, or a damaged one.
    """
    with _file_lock(path.with_name(f"{path.name}.lock")):
        return _open(path, lambda engine: _refuse_other_version(engine, path, older))


def _open(path: Path, prepare: Callable[[Engine], None]) -> Database:
    engine = _make_engine(path)
    try:
        with explained(path):
            prepare(engine)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine, path)


def _bring_up_to_date(engine: Engine, path: Path, migrated: Migrated) -> None:
    _use_write_ahead_log(engine, path)
    _migrate(engine, path, migrated)


def _refuse_other_version(engine: Engine, path: Path, older: bool) -> None:
    revision = _current_revision(engine)
    if revision is None:
        raise StorageError("no node has made this database", where=str(path), advice="look at `dicom-node doctor`")
    if revision > SCHEMA_REVISION:
        raise _newer(path, revision)
    if revision < SCHEMA_REVISION and not older:
        raise StorageError(
            "an older version made this database",
            where=str(path),
            advice="`dicom-node serve` brings it up to date, after a backup",
        )
    _use_write_ahead_log(engine, path)


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with explained_os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_private_file(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the database file. Its name is durable before its content."""
    if path.exists():
        return
    with explained_os_errors(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        sync_folder(path.parent)


def _make_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        pool_size=CONNECTIONS_KEPT,
        max_overflow=-1,
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns


def _begin(connection: Connection) -> None:
    """IMMEDIATE takes the write lock at once, so that a transaction never fails half-way for want of it."""
    mode = connection.get_execution_options().get(BEGIN_MODE, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _use_write_ahead_log(engine: Engine, path: Path) -> None:
    raw = engine.raw_connection()
    try:
        (mode,) = raw.cursor().execute("PRAGMA journal_mode = WAL").fetchone()
    finally:
        raw.close()
    if mode != "wal":
        raise StorageError(
            f"the file system does not let SQLite keep a write-ahead log (journal mode {mode})",
            where=str(path),
            advice="put [storage] folder on a local disk, not on a network share",
        )


def _migrate(engine: Engine, path: Path, migrated: Migrated) -> None:
    revision = _current_revision(engine)
    if revision == SCHEMA_REVISION:
        return
    from alembic.command import upgrade  # 0.3 s, and only a first start needs it
    from alembic.config import Config
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    writing = engine.execution_options(**{BEGIN_MODE: "IMMEDIATE"})
    try:
        with writing.begin() as connection:
            config.attributes["connection"] = connection
            upgrade(config, "head")
            if revision is not None:
                migrated(connection, revision)
    except (CommandError, ResolutionError) as error:
        raise _newer(path, str(error)) from error


def _newer(path: Path, seen: str) -> StorageError:
    return StorageError(
        f"a newer version of the node wrote this database ({seen})",
        where=str(path),
        advice="install that version again, or give this one another [storage] folder",
    )


def _current_revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        tables = text("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'")
        if connection.execute(tables).scalar_one() == 0:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what SQLite reports about the file as an error of storage; other errors stay as they are."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:  # the latter while a connection is being prepared
        explained = _explain(error.orig if isinstance(error, DBAPIError) else error, path)
        if explained is None:
            raise
        raise explained from error


def _explain(error: BaseException | None, path: Path) -> StorageError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; the rest refines it
    where, what = str(path), str(error)
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(where)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CorruptDatabase(what, where)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        holders = describe_lock_holders(path)
        advice = f"{holders} has held the database for {BUSY_TIMEOUT_S:.0f} s; look whether it hangs"
        return StorageError(what, where=where, retry_helps=True, advice=advice)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StorageError(what, where=where, advice=ADVICE[errno.EACCES])
    if code == sqlite3.SQLITE_IOERR:
        return StorageError(what, where=where, retry_helps=True, advice=ADVICE[errno.EIO])
    return None
