"""A database of an older version: left as it is, or brought up to date with an audit row."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.audit import entries, record, verify
from storage.database import open_as_it_is, open_database
from storage.errors import StorageError
from storage.integrity import schema_revision
from storage.migrating import bring_up_to_date, node_version
from storage.schema import SCHEMA_REVISION
from tests.support.old_databases import old_database

NOW = datetime(2026, 1, 15, 11, tzinfo=UTC)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "node.sqlite3"
    old_database(path, "0003")
    return path


def test_an_audit_row_tells_of_the_migration(old: Path) -> None:
    db = bring_up_to_date(old, "node", NOW)
    (entry,) = entries(db)
    assert (entry.event, entry.actor, entry.at) == ("database-migrated", "node", NOW)
    assert entry.detail == {"from": "0003", "to": SCHEMA_REVISION, "version": node_version()}
    assert verify(db).ok
    db.close()
    bring_up_to_date(old, "node", NOW).close()
    db = open_as_it_is(old)
    assert len(list(entries(db))) == 1, "it is up to date"
    db.close()


def test_a_new_database_was_not_migrated(tmp_path: Path) -> None:
    db = bring_up_to_date(tmp_path / "node.sqlite3", "node", NOW)
    assert list(entries(db)) == []
    db.close()


def test_one_of_an_older_version_is_refused_and_left_as_it_is(old: Path) -> None:
    with pytest.raises(StorageError, match="an older version made this database - `dicom-node serve` brings it"):
        open_as_it_is(old)
    assert schema_revision(old) == "0003"
    db = open_as_it_is(old, older=True)
    record(db, "backup-made", NOW, actor="user:jo", detail={})
    assert verify(db).ok
    db.close()
    assert schema_revision(old) == "0003"


@pytest.mark.parametrize("revision", ["9999", None])
def test_one_of_a_newer_version_or_of_nobody(tmp_path: Path, revision: str | None) -> None:
    path = tmp_path / "node.sqlite3"
    if revision is None:
        path.touch()
    else:
        _renumber(path, revision)
    size = path.stat().st_size
    with pytest.raises(StorageError, match="a newer version" if revision else "no node has made this database"):
        open_as_it_is(path, older=True)
    assert path.stat().st_size == size


def _renumber(path: Path, revision: str) -> None:
    db = open_database(path)
    with db.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    db.close()


def test_a_migration_that_cannot_be_told_is_not_made(old: Path) -> None:
    """They are one transaction."""

    def refuse(*_: object) -> None:
        raise RuntimeError("the row cannot be written")

    with pytest.raises(RuntimeError):
        open_database(old, refuse)
    assert schema_revision(old) == "0003"
