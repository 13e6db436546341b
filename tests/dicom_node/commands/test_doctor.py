"""`dicom-node doctor` on folders that were really damaged, and what a node finds afterwards."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.reasons import Reason
from storage.audit import entries, verify
from storage.jobs import claim_series, fail
from storage.node_lock import NodeLock
from storage.outbox import deliveries
from storage.series import get_series, instance_paths, missing_instances
from storage.states import DeliveryState, SeriesState
from tests.dicom_node.commands.called_node import CONFIG, Site
from tests.support.ended import Template, finish, spooled
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, Pipeline, accepted, one_lesion, small_series

PAGE = 4096  # bytes of a page of the database


@pytest.fixture
def site(template: Template, tmp_path: Path) -> Iterator[Site]:
    """One series is done."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=11999, away=11998))
    with template.open_copy(tmp_path / "node") as pipeline:
        for path in (pipeline.folders.root, *pipeline.folders.root.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)  # as the node's umask has it
        yield Site(config, pipeline, 11999)


@pytest.fixture
def series(template: Template) -> HeadSeries:
    return template.series


def examine(site: Site, *options: str) -> dict[str, dict[str, Any]]:
    """The checks by their names."""
    site.pipeline.db.close()
    result = site.run("doctor", "--json", *options)
    assert result.exit_code in (0, 1), result.output
    said = json.loads(result.stdout)
    assert said["sound"] == (result.exit_code == 0)
    return {check["name"]: check for check in said["checks"]}


def levels(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["level"] for name, check in checks.items() if check["level"] != "ok"}


def repair(site: Site, *options: str) -> dict[str, dict[str, Any]]:
    """Repaired; and another look finds nothing more."""
    checks = examine(site, "--repair", *options)
    left = examine(site)
    assert not {name: one for name, one in left.items() if one["level"] == "error"}, left
    return checks


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


def test_a_sound_folder(site: Site) -> None:
    checks = examine(site, "--deep")
    assert levels(checks) == {}
    assert len(checks) == 12
    chain = verify(site.pipeline.db)
    assert str(chain.last_hash) in checks["audit log"]["outcome"], "a look writes nothing"
    text = site.run("doctor").stdout
    assert "images" in text and "there, of the right size" in text


def test_without_a_folder(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "other"')
    result = site.run("doctor")
    assert (result.exit_code, "no storage folder" in result.stderr) == (1, True)


def test_a_folder_in_which_no_node_has_run(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "new"')
    (site.config.parent / "new").mkdir()
    result = site.run("doctor", "--repair")
    assert (result.exit_code, "no node has run in this folder" in result.stderr) == (1, True)
    assert not (site.config.parent / "new" / "node.sqlite3").exists()


def test_beside_a_running_node_it_only_looks(site: Site) -> None:
    site.pipeline.db.close()
    (site.pipeline.folders.spool / "young.tmp").touch(mode=0o600)
    with NodeLock(site.pipeline.folders.root):
        checks = examine(site)
        refused = site.run("doctor", "--repair")
    assert levels(checks) == {}, "what is young may be at work"
    assert refused.exit_code == 1
    assert f"process {os.getpid()}" in refused.stderr


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


def test_missing_images_of_an_ended_series_are_marked_and_can_come_again(site: Site, series: HeadSeries) -> None:
    pipeline = site.pipeline
    pipeline.spool.absolute(spooled(pipeline)[0]).unlink()
    seen = examine(site)["images"]
    assert (seen["level"], "1 missing, 0 damaged" in seen["outcome"]) == ("error", True)
    assert repair(site)["images"]["level"] == "repaired"
    row = pipeline.row(series)
    assert (row.state, row.instance_count, missing_instances(pipeline.db, row.id)) == (SeriesState.DONE, 7, 1)
    (told,) = pipeline.audit("images-lost")
    assert told.detail["instances"] == 1
    pipeline.receive(series.files)
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED


def test_a_damaged_image_is_found_by_its_digest_and_put_aside(site: Site, series: HeadSeries) -> None:
    """Its size is right; sent again, the good image must not be in conflict with the damaged one."""
    pipeline = site.pipeline
    path = spooled(pipeline)[3]
    file = pipeline.spool.absolute(path)
    data = bytearray(file.read_bytes())
    data[-5] ^= 0xFF
    file.write_bytes(data)
    assert levels(examine(site)) == {}, "the quick look asks for sizes"
    assert "0 missing, 1 damaged" in examine(site, "--deep")["images"]["outcome"]
    repair(site, "--deep")
    assert (pipeline.folders.root / "damaged" / "spool" / path).read_bytes() == bytes(data)
    pipeline.receive(series.files)
    row = pipeline.row(series)
    assert (row.state, row.conflicting, row.instance_count) == (SeriesState.RECEIVING, False, 8)


@pytest.mark.parametrize("state", ["waiting", "failed"])
def test_a_series_that_lost_an_image_before_its_analysis_is_refused_not_analysed_without_it(
    site: Site, tmp_path: Path, state: str
) -> None:
    """The uppermost slice is gone: geometry alone would not notice."""
    pipeline = site.pipeline
    waiting = small_series(tmp_path, "waiting")
    pipeline.receive(waiting.files)
    pipeline.quiet()
    pipeline.assemble()
    if state == "failed":
        claim = claim_series(pipeline.db, SeriesState.QUEUED, "worker:1:analysis", pipeline.clock(), LEASE)
        assert claim is not None
        fail(pipeline.db, claim, "cannot-compute", "no weights", pipeline.clock())
    _last_slice(pipeline, waiting).unlink()
    repair(site)
    assert (pipeline.row(waiting).state, pipeline.row(waiting).revision) == (SeriesState.RECEIVING, 2)
    pipeline.quiet()
    pipeline.assemble()
    row = pipeline.row(waiting)
    assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.IMAGES_DELETED)


def test_a_disk_that_is_not_mounted_is_not_taken_for_lost_images(site: Site, series: HeadSeries) -> None:
    spool = site.pipeline.folders.spool
    spool.rename(spool.with_name("elsewhere"))
    spool.mkdir(mode=0o700)
    checks = examine(site, "--repair")
    assert "is the disk mounted?" in checks["images"]["outcome"]
    spool.rmdir()
    spool.with_name("elsewhere").rename(spool)
    assert missing_instances(site.pipeline.db, site.pipeline.row(series).id) == 0


def test_an_image_without_a_row_is_registered(site: Site, tmp_path: Path) -> None:
    late = small_series(tmp_path, "late")
    site.pipeline._store(late.files[0])
    assert examine(site)["spool"]["outcome"].startswith("1 image without a row")
    assert repair(site)["spool"]["level"] == "repaired"
    assert site.pipeline.row(late).instance_count == 1


def test_results_that_were_lost_before_delivery_are_made_again(site: Site, tmp_path: Path) -> None:
    pipeline = site.pipeline
    other = accepted(pipeline, tmp_path, "other")
    pipeline.conclude(other, one_lesion(other))
    pipeline.publish()
    (waiting,) = deliveries(pipeline.db, pipeline.row(other).id)
    uids = {one.role: one.sop_instance_uid for one in waiting.objects}
    (pipeline.folders.results / waiting.objects[0].path).write_bytes(b"damaged")
    assert examine(site)["results"]["level"] == "error"
    repair(site)
    assert pipeline.row(other).state == SeriesState.RECEIVING
    assert (pipeline.folders.root / "damaged" / "results" / waiting.objects[0].path).read_bytes() == b"damaged"
    finish(pipeline, other)
    again = deliveries(pipeline.db, pipeline.row(other).id)[-1]
    assert {one.role: one.sop_instance_uid for one in again.objects} == uids


def test_results_that_were_delivered_and_lost_are_marked(site: Site, series: HeadSeries) -> None:
    next(site.pipeline.folders.results.rglob("sr.dcm")).unlink()
    assert repair(site)["results"]["level"] == "repaired"
    assert site.pipeline.row(series).state == SeriesState.DONE
    assert site.pipeline.audit("results-lost")[0].detail["results"] == 1


def test_findings_that_cannot_be_read(site: Site, tmp_path: Path) -> None:
    """Of an ended series it is told; one that still needs them is analysed again."""
    pipeline = site.pipeline
    (pipeline.folders.findings / "found.npz").write_bytes(b"damaged")
    assert examine(site, "--deep")["findings"]["level"] == "warning"
    other = accepted(pipeline, tmp_path, "other")
    pipeline.conclude(other, one_lesion(other))
    (pipeline.folders.findings / "found.npz").write_bytes(b"damaged")
    assert examine(site)["findings"]["level"] == "error"
    repair(site)
    assert (pipeline.row(other).state, pipeline.row(other).revision) == (SeriesState.RECEIVING, 2)


def test_strays_leftovers_and_open_permissions(site: Site) -> None:
    folders = site.pipeline.folders
    stray = folders.results / "00" / "1" / "sr.dcm"
    stray.parent.mkdir(parents=True, mode=0o700)
    stray.parent.parent.chmod(0o700)
    stray.touch(mode=0o600)
    (folders.results / "half.dcm.0123456789abcdef.tmp").touch(mode=0o600)
    folders.database.chmod(0o644)
    assert levels(examine(site)) == {"orphans": "warning", "temporary files": "warning", "permissions": "error"}
    checks = repair(site)
    assert levels(checks) == {"orphans": "repaired", "temporary files": "repaired", "permissions": "repaired"}
    assert (folders.root / "orphaned" / "results" / "00" / "1" / "sr.dcm").exists()
    assert folders.database.stat().st_mode & 0o777 == 0o600
    assert site.pipeline.audit("repaired")[0].detail["checks"] == ["temporary files", "permissions", "orphans"]


def test_leases_of_processes_that_are_gone(site: Site, tmp_path: Path) -> None:
    pipeline = site.pipeline
    other = accepted(pipeline, tmp_path, "other")
    assert claim_series(pipeline.db, SeriesState.QUEUED, "worker:7:analysis", pipeline.clock(), LEASE)
    assert examine(site)["leases"]["examples"] == ["worker:7:analysis"]
    repair(site)
    assert pipeline.row(other).lease_owner is None


def test_a_changed_audit_row_is_never_mended(site: Site) -> None:
    with site.pipeline.db.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_refuses_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE number = 2")
    checks = examine(site, "--repair")
    assert checks["audit log"]["level"] == "error"
    assert "BROKEN at row 2" in checks["audit log"]["outcome"]


def test_another_account_repairs_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files would not be the node's to use."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    result = site.run("doctor", "--repair")
    assert (result.exit_code, "as the account that runs the node" in result.stderr) == (1, True)
    assert site.run("restore", "somewhere").exit_code == 1


def test_two_doctors_do_not_repair_at_once(site: Site) -> None:
    site.pipeline.db.close()
    with NodeLock(site.pipeline.folders.root):
        assert site.run("doctor", "--repair").exit_code == 1
    assert site.run("doctor", "--backup", "somewhere").exit_code == 2


def _last_slice(pipeline: Pipeline, series: HeadSeries) -> Path:
    uid = dcmread(series.files[-1], stop_before_pixels=True).SOPInstanceUID
    rows = instance_paths(pipeline.db, get_series(pipeline.db, series.uid).id)
    (path,) = [row.path for row in rows if row.sop_instance_uid == uid]
    return pipeline.spool.absolute(path)
