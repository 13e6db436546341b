"""A backup while the node works, and what comes out of it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from dicom_node.folders import Folders
from dicom_node.retention import stores_of
from storage.audit import entries, verify
from storage.backup import MANIFEST, Manifest, back_up, copy_file
from storage.database import Database, open_database
from storage.deletion import Stores
from storage.durable import FILE_MODE
from storage.errors import StorageError
from storage.restore import read_manifest, restore
from storage.retention_lock import deletions_held_up
from storage.series import get_series, instance_paths, missing_instances
from storage.states import SeriesState
from tests.support.ended import Template, spooled
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, accepted, small_series


@pytest.fixture
def pipeline(template: Template, tmp_path: Path) -> Iterator[Pipeline]:
    with template.open_copy(tmp_path / "node") as opened:
        yield opened


@pytest.fixture
def queued(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """A second series, that waits for its analysis."""
    return accepted(pipeline, tmp_path, "queued")


def save(pipeline: Pipeline, target: Path, *, all_images: bool = False) -> Manifest:
    stores, key = stores_of(pipeline.folders), pipeline.folders.root / "audit-signing.key"
    return back_up(
        pipeline.db, stores, target, [key], all_images=all_images, actor="user:jo", now=pipeline.clock()
    )


def bring_back(pipeline: Pipeline, source: Path, folder: Path) -> tuple[Database, Stores]:
    stores = stores_of(Folders(folder))
    folder.mkdir(exist_ok=True)
    restore(source, stores, folder / "node.sqlite3", actor="user:jo", now=pipeline.clock())
    return open_database(folder / "node.sqlite3"), stores


def test_every_file_that_a_row_names_is_there_with_its_digest(
    pipeline: Pipeline, template: Template, queued: HeadSeries, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    (pipeline.folders.root / "audit-signing.key").write_bytes(b"key")
    manifest = save(pipeline, target, all_images=True)
    written = json.loads((target / MANIFEST).read_text())
    there = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()} - {MANIFEST}
    assert there == set(manifest.files) == set(written["files"])
    assert len([name for name in there if name.startswith("spool/")]) == 16
    assert {"node.sqlite3", "findings/found.npz", "audit-signing.key"} < there
    for name, one in manifest.files.items():
        data = (target / name).read_bytes()
        assert (one.size, one.sha256) == (len(data), sha256(data).hexdigest())
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {FILE_MODE}
    with closing(sqlite3.connect(target / "node.sqlite3")) as copy:
        named = {f"spool/{row[0]}" for row in copy.execute("SELECT path FROM instances WHERE purged_at IS NULL")}
        named |= {f"results/{row[0]}" for row in copy.execute("SELECT path FROM results WHERE purged_at IS NULL")}
    assert named and named <= there
    (entry,) = pipeline.audit("backup-made")
    assert (entry.actor, entry.detail["files"]) == ("user:jo", len(there))


def test_without_images_those_of_ended_series_stay_behind(
    pipeline: Pipeline, queued: HeadSeries, tmp_path: Path
) -> None:
    manifest = save(pipeline, tmp_path / "backup")
    kept = {name.removeprefix("spool/") for name in manifest.files if name.startswith("spool/")}
    assert kept == {row.path for row in instance_paths(pipeline.db, pipeline.row(queued).id)}


def test_what_comes_in_while_it_is_made_does_not_disturb_it(
    pipeline: Pipeline, template: Template, tmp_path: Path
) -> None:
    """Writers are not held up; what they write is either in the copy with its files, or not at all."""
    late = small_series(tmp_path, "late")
    seen: list[int] = []

    def receive_meanwhile(done: int, total: int) -> None:
        if not seen:
            pipeline.receive(late.files)
        seen.append(total)

    stores = stores_of(pipeline.folders)
    target = tmp_path / "backup"
    back_up(
        pipeline.db,
        stores,
        target,
        [],
        all_images=True,
        actor="user:jo",
        now=pipeline.clock(),
        progress=receive_meanwhile,
    )
    assert len(spooled(pipeline)) == 16
    db, _ = bring_back(pipeline, target, tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="no such series"):
        get_series(db, late.uid)
    assert len(instance_paths(db, get_series(db, template.series.uid).id)) == 8
    db.close()


def test_a_restored_node_goes_on_and_says_what_it_lacks(
    pipeline: Pipeline, template: Template, queued: HeadSeries, tmp_path: Path
) -> None:
    before = verify(pipeline.db)
    save(pipeline, tmp_path / "backup")
    db, stores = bring_back(pipeline, tmp_path / "backup", tmp_path / "elsewhere")
    chain = verify(db)
    assert chain.ok and chain.rows > before.rows
    (entry,) = entries(db, event="backup-restored")
    assert (entry.detail["audit_rows"], entry.detail["audit_hash"]) == (before.rows, before.last_hash)
    assert (entry.detail["images_absent"], entry.detail["results_absent"]) == (8, 0)
    waiting, ended = get_series(db, queued.uid), get_series(db, template.series.uid)
    assert (waiting.state, waiting.revision, waiting.instance_count) == (SeriesState.QUEUED, 1, 8)
    assert (ended.state, ended.revision, missing_instances(db, ended.id)) == (SeriesState.DONE, 1, 8)
    for row in instance_paths(db, waiting.id):
        assert (stores.spool / row.path).stat().st_size == row.size
    db.close()


def test_a_file_that_is_not_there_is_named_and_the_series_asked_for_again(
    pipeline: Pipeline, queued: HeadSeries, tmp_path: Path
) -> None:
    lost = instance_paths(pipeline.db, pipeline.row(queued).id)[0]
    pipeline.spool.absolute(lost.path).unlink()
    manifest = save(pipeline, tmp_path / "backup")
    assert manifest.missing == [f"spool/{lost.path}"]
    db, _ = bring_back(pipeline, tmp_path / "backup", tmp_path / "elsewhere")
    row = get_series(db, queued.uid)
    assert (row.state, row.revision, row.instance_count) == (SeriesState.RECEIVING, 2, 7)
    assert missing_instances(db, row.id) == 1
    db.close()


@pytest.mark.parametrize("damage", ["a byte", "a file", "the manifest", "another version"])
def test_a_damaged_backup_is_refused_and_leaves_no_node(
    pipeline: Pipeline, queued: HeadSeries, tmp_path: Path, damage: str
) -> None:
    source, folder = tmp_path / "backup", tmp_path / "elsewhere"
    save(pipeline, source)
    result = next(source.glob("results/*/1/sr.dcm"))
    if damage == "a byte":
        data = bytearray(result.read_bytes())
        data[200] ^= 1
        result.write_bytes(data)
    elif damage == "a file":
        result.unlink()
    elif damage == "the manifest":
        (source / MANIFEST).unlink()
    else:
        manifest = json.loads((source / MANIFEST).read_text())
        (source / MANIFEST).write_text(json.dumps({**manifest, "schema_revision": "9999"}))
    with pytest.raises(StorageError):
        bring_back(pipeline, source, folder)
    assert not (folder / "node.sqlite3").exists()


def test_names_that_lead_out_of_the_folder_are_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    save(pipeline, tmp_path / "backup")
    path = tmp_path / "backup" / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"]["../outside"] = {"size": 1, "sha256": "0" * 64}
    path.write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="names files that no backup has"):
        read_manifest(tmp_path / "backup")


def test_a_folder_with_a_node_is_not_overwritten(pipeline: Pipeline, tmp_path: Path) -> None:
    save(pipeline, tmp_path / "backup")
    with pytest.raises(StorageError, match="there is a node already"):
        bring_back(pipeline, tmp_path / "backup", pipeline.folders.root)


def test_a_target_that_holds_something_or_lies_in_the_storage_folder_is_refused(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(StorageError, match="new or empty folder"):
        save(pipeline, tmp_path / "full")
    with pytest.raises(StorageError, match="storage folder itself"):
        save(pipeline, pipeline.folders.root / "backup")


def test_a_key_that_cannot_be_read_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    key = pipeline.folders.root / "audit-signing.key"
    key.symlink_to(key)
    with pytest.raises(StorageError) as caught:
        copy_file(key, tmp_path / "copy")
    assert caught.value.where == str(key)
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "gone", tmp_path / "copy")


def test_nothing_is_deleted_while_it_is_made(pipeline: Pipeline, tmp_path: Path) -> None:
    held: list[bool] = []

    def try_to_delete(done: int, total: int) -> None:
        with pytest.raises(StorageError), deletions_held_up(pipeline.folders.root, patience_s=0.0):
            raise AssertionError("a deletion in the middle of a backup")
        held.append(True)

    stores = stores_of(pipeline.folders)
    now = pipeline.clock()
    back_up(
        pipeline.db, stores, tmp_path / "b", [], all_images=True, actor="user:jo", now=now, progress=try_to_delete
    )
    assert held
