"""`dicom-node doctor` on folders in which files were really damaged, and what a node finds afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.reasons import Reason
from storage.audit import verify
from storage.jobs import claim_series, fail
from storage.node_lock import NodeLock
from storage.outbox import deliveries
from storage.series import get_series, instance_paths, missing_instances
from storage.states import SeriesState
from tests.dicom_node.commands.called_node import Site
from tests.support.doctor import examine, levels, repair, sound_site
from tests.support.ended import Template, finish, spooled
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, Pipeline, accepted, one_lesion, small_series


@pytest.fixture
def site(template: Template, tmp_path: Path) -> Iterator[Site]:
    with sound_site(template, tmp_path) as made:
        yield made


@pytest.fixture
def series(template: Template) -> HeadSeries:
    return template.series


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


@pytest.mark.parametrize("arguments", [("doctor", "--repair"), ("restore", "somewhere"), ("status",), ("audit", "key")])
def test_another_account_repairs_and_writes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Its files would not be the node's to use; nor would those of root."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    result = site.run(*arguments)
    assert (result.exit_code, "as the account that runs the node" in result.stderr) == (1, True)


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
