"""`dicom-node doctor` on databases that were really damaged, lost or locked, and what a node makes of them."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.audit import entries, verify
from storage.outbox import deliveries
from storage.series import instance_paths
from storage.states import DeliveryState, SeriesState
from tests.dicom_node.commands.called_node import Site
from tests.support.doctor import examine, levels, repair, sound_site
from tests.support.ended import Template, finish
from tests.support.head_series import HeadSeries, change
from tests.support.pipeline import small_series

PAGE = 4096  # bytes of a page of the database


@pytest.fixture
def site(template: Template, tmp_path: Path) -> Iterator[Site]:
    with sound_site(template, tmp_path) as made:
        yield made


@pytest.fixture
def series(template: Template) -> HeadSeries:
    return template.series


def overwrite_middle(database: Path) -> None:
    """Pages in the middle, from the first of the table of series on."""
    page = page_of(database, "series")
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(os.urandom(2 * PAGE))


def page_of(database: Path, name: str) -> int:
    """Where a table or an index begins."""
    with closing(sqlite3.connect(database)) as raw:
        (page,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return int(page)


def truncate(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def empty(database: Path) -> None:
    os.truncate(database, 0)


def replace_by_text(database: Path) -> None:
    database.write_text("this is no database\n" * 1000)


def remove(database: Path) -> None:
    database.unlink()


def damage_database(site: Site, how: Callable[[Path], None]) -> Path:
    """As after a crash of the disk: closed, and no log beside it."""
    site.pipeline.db.close()
    database = site.pipeline.folders.database
    assert not database.with_name(f"{database.name}-wal").exists()
    how(database)
    return database


@pytest.mark.parametrize("how", [overwrite_middle, truncate, empty, replace_by_text, remove])
def test_a_database_beyond_repair_is_made_anew_and_results_keep_uids_and_bytes(
    site: Site, series: HeadSeries, how: Callable[[Path], None]
) -> None:
    """The whole way: what is damaged, what is said, and what a node makes of it."""
    pipeline = site.pipeline
    (before,) = deliveries(pipeline.db, pipeline.row(series).id)
    old = {one.role: (pipeline.folders.results / one.path).read_bytes() for one in before.objects}
    chain = verify(pipeline.db)
    database = damage_database(site, how)
    damaged = database.read_bytes() if database.exists() else None
    assert levels(examine(site))["database"] == "error"
    assert (database.read_bytes() if database.exists() else None) == damaged, "a look changes nothing"

    checks = repair(site)
    assert checks["database"]["level"] == "repaired"
    assert "Lost: the audit log, all of it" in checks["database"]["outcome"]
    kept = [path for path in database.parent.glob("node.sqlite3.damaged-*") if path.name.endswith("Z")]
    assert [path.read_bytes() for path in kept] == ([] if damaged is None else [damaged])

    first = next(entries(pipeline.db))
    assert (first.number, first.event) == (1, "database-rebuilt")
    assert first.detail["kept_aside"] == (kept[0].name if kept else None)
    if first.detail["last_known_hash"] is not None:
        assert (first.detail["last_known_row"], first.detail["last_known_hash"]) == (chain.rows, chain.last_hash)
    row = pipeline.row(series)
    assert (row.state, row.revision, row.instance_count) == (SeriesState.RECEIVING, 2, 8)

    pipeline.clock.now = datetime.now(UTC) + timedelta(hours=1)  # rows have the times of the files
    finish(pipeline, series)
    again = [one for one in deliveries(pipeline.db, row.id) if one.state == DeliveryState.DELIVERED]
    assert {one.role: (pipeline.folders.results / one.path).read_bytes() for one in again[0].objects} == old
    assert verify(pipeline.db).ok


def test_readable_audit_rows_of_a_damaged_database_are_kept(site: Site) -> None:
    """Another table is damaged: every audit row can be read, and the new log names the last."""
    rows = [entry.hash for entry in entries(site.pipeline.db)]
    database = damage_database(site, overwrite_middle)
    repair(site)
    (kept,) = database.parent.glob("*.audit.jsonl")
    assert [json.loads(line)["hash"] for line in kept.read_text().splitlines()] == rows
    (rebuilt,) = site.pipeline.audit("database-rebuilt")
    assert rebuilt.detail["last_known_hash"] == rows[-1]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_damaged_index_costs_nothing(site: Site, series: HeadSeries) -> None:
    """Every row can be read: they are written anew, with the whole audit log."""
    chain = verify(site.pipeline.db)

    def overwrite_index(database: Path) -> None:
        page = page_of(database, "audit_of_series")
        with database.open("r+b") as file:
            file.seek((page - 1) * PAGE + 8)
            file.write(os.urandom(PAGE - 8))

    damage_database(site, overwrite_index)
    assert levels(examine(site))["database"] == "error"
    checks = repair(site)
    assert "Lost: nothing" in checks["database"]["outcome"]
    after = list(entries(site.pipeline.db))
    assert after[chain.rows - 1].hash == chain.last_hash
    assert after[chain.rows].event == "database-repaired"
    assert site.pipeline.row(series).state == SeriesState.DONE
    assert len(instance_paths(site.pipeline.db, site.pipeline.row(series).id)) == 8


def test_with_a_backup_what_came_after_it_is_taken_from_the_disk(
    site: Site, series: HeadSeries, tmp_path: Path
) -> None:
    """The backup knows the first series as done; the second came, and was analysed, since."""
    assert site.run("backup", str(tmp_path / "backup")).exit_code == 0
    pipeline = site.pipeline
    later = small_series(tmp_path, "later")
    pipeline.receive(later.files)
    finish(pipeline, later)
    (sent,) = deliveries(pipeline.db, pipeline.row(later).id)
    damage_database(site, overwrite_middle)
    checks = repair(site, "--backup", str(tmp_path / "backup"))
    assert "8 images registered from the spool, 2 results from the outbox" in checks["database"]["outcome"]
    assert pipeline.row(series).state == SeriesState.DONE
    assert len(instance_paths(pipeline.db, pipeline.row(series).id)) == 8, "the disk has more than the backup"
    (restored,) = pipeline.audit("database-restored")
    assert restored.detail["backup_made_at"] is not None
    assert verify(pipeline.db).ok
    pipeline.clock.now = datetime.now(UTC) + timedelta(hours=1)
    finish(pipeline, later)
    again = deliveries(pipeline.db, pipeline.row(later).id)[-1]
    assert [one.sha256 for one in again.objects] == [one.sha256 for one in sent.objects]


@pytest.fixture
def corrected(series: HeadSeries, tmp_path: Path) -> list[Path]:
    """The same images under the same UIDs, of another patient."""
    (tmp_path / "corrected").mkdir()
    files = [Path(shutil.copy(file, tmp_path / "corrected")) for file in series.files]
    for file in files:
        change(file, lambda image: setattr(image, "PatientID", "CORRECTED"))
    return files


def test_images_that_came_again_after_the_backup_are_no_damaged_ones(
    site: Site, series: HeadSeries, corrected: list[Path], tmp_path: Path
) -> None:
    """A corrected patient's: other bytes under the UIDs that the backup knows."""
    pipeline = site.pipeline
    assert site.run("backup", str(tmp_path / "backup")).exit_code == 0
    assert site.run("purge", series.uid).exit_code == 0
    pipeline.receive(corrected)
    finish(pipeline, series)
    known = {row.path: row.sha256 for row in instance_paths(pipeline.db, pipeline.row(series).id)}
    (*_, sent) = deliveries(pipeline.db, pipeline.row(series).id)
    damage_database(site, overwrite_middle)
    checks = repair(site, "--deep", "--backup", str(tmp_path / "backup"))
    said = "8 images registered from the spool (8 with other content than the backup's), 2 results from the outbox"
    assert said in checks["database"]["outcome"]
    assert checks["images"]["level"] == "ok"
    assert not (pipeline.folders.root / "damaged").exists()
    row = pipeline.row(series)
    assert (row.state, row.instance_count, row.conflicting) == (SeriesState.RECEIVING, 8, False)
    assert {one.path: one.sha256 for one in instance_paths(pipeline.db, row.id)} == known
    assert pipeline.audit("instances-returned")[-1].detail["with_other_content"] == 8
    pipeline.clock.now = datetime.now(UTC) + timedelta(hours=1)
    finish(pipeline, series)
    (*_, again) = deliveries(pipeline.db, row.id)
    assert [one.sha256 for one in again.objects] == [one.sha256 for one in sent.objects]


def test_an_image_that_is_older_than_the_backup_is_damaged_where_it_differs(
    site: Site, series: HeadSeries, tmp_path: Path
) -> None:
    """And so is a newer one that does not say of itself that it is the instance of its name."""
    pipeline = site.pipeline
    paths = [pipeline.spool.absolute(row.path) for row in instance_paths(pipeline.db, pipeline.row(series).id)]
    old = paths[0].stat().st_mtime
    assert site.run("backup", str(tmp_path / "backup")).exit_code == 0
    paths[0].write_bytes(paths[0].read_bytes() + b"\0")
    os.utime(paths[0], (old, old))
    paths[1].write_bytes(paths[2].read_bytes() + b"\0")
    paths[3].write_bytes(b"no image")
    damage_database(site, overwrite_middle)
    checks = repair(site, "--backup", str(tmp_path / "backup"))
    assert "0 images registered" in checks["database"]["outcome"]
    assert "0 missing, 3 damaged" in checks["images"]["outcome"]


@pytest.mark.parametrize("how", [empty, remove])
def test_a_node_does_not_start_and_forget_everything(
    site: Site, how: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = damage_database(site, how)
    monkeypatch.setattr("dicom_node.cli._refuse_a_bad_start", lambda _: None)
    result = site.run("serve")
    assert result.exit_code == 1
    assert "dicom-node doctor --repair" in result.stderr
    assert not database.exists() or database.stat().st_size == 0
    assert site.run("status").exit_code == 1


def test_a_locked_database_is_no_damaged_one_and_who_holds_it_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.integrity.PATIENCE_S", 0.01)
    monkeypatch.setattr("storage.lock_holders.os.getpid", lambda: -1)  # so that this process counts as another
    site.pipeline.db.close()
    with closing(sqlite3.connect(site.pipeline.folders.database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE held (number)")
        result = site.run("doctor")
        other.rollback()
    assert result.exit_code == 1
    assert "it is locked by process" in result.stdout
    assert "Lost" not in result.stdout
