"""Deletion of images, results and findings: crash-safe, told in the audit log, and never of a file that came since."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.receiver.reconcile import reconcile
from dicom_node.retention import stores_of
from storage import deletion, spool_deletion
from storage.audit import verify
from storage.deletion import Stores, delete_images, delete_results, finish_deletions
from storage.errors import StorageError, UnknownSeries
from storage.reanalysis import reanalyse
from storage.retention import Cause
from storage.retention_lock import deletions_held_up
from storage.series import instance_paths, kept_instances, missing_instances
from storage.states import SeriesState
from tests.support.ended import Template, finish, make_not_analysed, spooled
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline

DEADLINE_S = 20.0


class Crash(BaseException):
    """The process ends here: nothing that handles errors sees it."""


@pytest.fixture
def pipeline(template: Template, tmp_path: Path) -> Iterator[Pipeline]:
    with template.open_copy(tmp_path / "node") as opened:
        yield opened
        assert verify(opened.db).ok


@pytest.fixture
def stores(pipeline: Pipeline) -> Stores:
    return stores_of(pipeline.folders)


@pytest.fixture
def series(template: Template) -> HeadSeries:
    """Done: eight images, two results and findings lie on the disk."""
    return template.series


def drop(pipeline: Pipeline, series: HeadSeries) -> bool:
    return delete_images(
        pipeline.db, stores_of(pipeline.folders), series.uid, Cause.AGE, "retention", pipeline.clock()
    )


def finish_it(pipeline: Pipeline) -> int:
    return finish_deletions(pipeline.db, stores_of(pipeline.folders), pipeline.clock())


def drop_results(pipeline: Pipeline, series: HeadSeries) -> bool:
    return delete_results(
        pipeline.db, stores_of(pipeline.folders), series.uid, Cause.AGE, "retention", pipeline.clock()
    )


@contextmanager
def crash_at(owner: object, name: str) -> Iterator[None]:
    """The process ends when the block comes to that call, which it does."""

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Crash):
        patched.setattr(owner, name, crash)
        yield


def test_images_go_and_rows_say_so(pipeline: Pipeline, series: HeadSeries) -> None:
    size = sum(pipeline.spool.absolute(path).stat().st_size for path in spooled(pipeline))
    assert drop(pipeline, series)
    assert list(pipeline.folders.spool.iterdir()) == []
    row = pipeline.row(series)
    assert (row.state, row.instance_count, row.source_purged_at) == (SeriesState.DONE, 0, pipeline.clock())
    assert row.source_deletion is None
    assert instance_paths(pipeline.db, row.id) == []
    assert missing_instances(pipeline.db, row.id) == 8
    (entry,) = pipeline.audit("images-deleted")
    assert entry.actor == "retention"
    assert (entry.detail["because"], entry.detail["instances"], entry.detail["bytes"]) == ("age", 8, size)
    assert len(list(pipeline.folders.results.rglob("*.dcm"))) == 2
    assert (pipeline.folders.findings / "found.npz").exists()


def test_what_was_deleted_is_not_committed_to_any_more(pipeline: Pipeline, series: HeadSeries) -> None:
    uids = [row.sop_instance_uid for row in instance_paths(pipeline.db, pipeline.row(series).id)]
    assert len(kept_instances(pipeline.db, uids)) == 8
    drop(pipeline, series)
    assert kept_instances(pipeline.db, uids) == []
    pipeline.receive(series.files[:3])
    assert len(kept_instances(pipeline.db, uids)) == 3


def test_results_and_findings_go_and_images_stay(pipeline: Pipeline, stores: Stores, series: HeadSeries) -> None:
    (stores.findings / "found-scores.npz").touch()
    (stores.findings / "found2.npz").touch()
    assert drop_results(pipeline, series)
    assert not list(stores.results.rglob("*.dcm"))
    assert [path.name for path in stores.findings.iterdir()] == ["found2.npz"], "another series' findings stay"
    assert len(spooled(pipeline)) == 8
    row = pipeline.row(series)
    assert (row.results_purged_at, row.results_deletion) == (pipeline.clock(), None)
    (entry,) = pipeline.audit("results-deleted")
    assert (entry.detail["because"], entry.detail["results"]) == ("age", 2)
    assert not drop_results(pipeline, series)


def test_a_series_that_is_on_its_way_again_is_left_alone(pipeline: Pipeline, series: HeadSeries) -> None:
    """It was planned while it had ended."""
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    assert not drop(pipeline, series)
    assert not drop_results(pipeline, series)
    assert len(spooled(pipeline)) == 8
    assert pipeline.audit("images-deleted") == pipeline.audit("results-deleted") == []


def test_an_image_that_has_no_row_yet_keeps_the_series(
    pipeline: Pipeline, series: HeadSeries, tmp_path: Path
) -> None:
    """It was answered Success and will re-open the series: deleting the others would make it a fragment."""
    late = pipeline.spool.store(series.uid, f"{series.uid}.99", b"", b"late")
    assert not drop(pipeline, series)
    assert late.path in spooled(pipeline)
    assert len(spooled(pipeline)) == 9


def test_a_series_that_is_not_there(pipeline: Pipeline, stores: Stores) -> None:
    with pytest.raises(UnknownSeries):
        delete_images(pipeline.db, stores, "1.2.9", Cause.ASKED, "user:jo", pipeline.clock())


def test_a_crash_before_the_commit_changes_nothing(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    with crash_at(deletion, "note"):
        drop(pipeline, series)
    assert finish_it(pipeline) == 0
    assert len(spooled(pipeline)) == len(instance_paths(pipeline.db, pipeline.row(series).id)) == 8
    assert pipeline.audit("images-deleted") == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [(spool_deletion.SeriesFiles, "set_aside"), (deletion, "_take_back"), (spool_deletion.shutil, "rmtree")],
    ids=["behind the commit", "behind the rename", "before the files are deleted"],
)
def test_a_crash_on_the_way_is_finished_later(
    pipeline: Pipeline, series: HeadSeries, owner: object, name: str
) -> None:
    with crash_at(owner, name):
        drop(pipeline, series)
    assert missing_instances(pipeline.db, pipeline.row(series).id) == 8
    assert reconcile(pipeline.db, pipeline.spool, (), pipeline.clock) == 0, "leftovers are not taken for new images"
    assert finish_it(pipeline) == 1
    assert list(pipeline.folders.spool.iterdir()) == []
    assert pipeline.row(series).source_deletion is None
    assert finish_it(pipeline) == 0
    assert len(pipeline.audit("images-deleted")) == 1


def test_the_next_deletion_of_the_series_finishes_the_last_one(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    with crash_at(spool_deletion.shutil, "rmtree"):
        drop(pipeline, series)
    pipeline.receive(series.files)
    finish(pipeline, series)
    assert drop(pipeline, series)
    assert list(pipeline.folders.spool.iterdir()) == []


def test_images_that_come_after_a_crash_behind_the_rename_stay(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    with crash_at(deletion, "_take_back"):
        drop(pipeline, series)
    unregistered = pipeline._store(series.files[0])
    finish_it(pipeline)
    assert spooled(pipeline) == [unregistered.path]
    assert reconcile(pipeline.db, pipeline.spool, (), pipeline.clock) == 1
    assert pipeline.row(series).instance_count == 1


@pytest.mark.parametrize("registered", [True, False])
def test_a_late_slice_behind_the_commit_takes_the_deletion_back(
    pipeline: Pipeline, series: HeadSeries, tmp_path: Path, registered: bool
) -> None:
    """All files are there still: the series is looked at again as a whole."""
    with crash_at(spool_deletion.SeriesFiles, "set_aside"):
        drop(pipeline, series)
    late = another_slice(series, tmp_path)
    if registered:
        pipeline.receive([late])
    else:
        pipeline._store(late)
    finish_it(pipeline)
    row = pipeline.row(series)
    assert len(spooled(pipeline)) == 9
    assert missing_instances(pipeline.db, row.id) == 0
    assert (row.source_purged_at, row.source_deletion) == (None, None)
    assert row.instance_count == (9 if registered else 8)
    (entry,) = pipeline.audit("images-kept")
    assert entry.detail["instances"] == 8


def test_an_interrupted_deletion_of_results_is_finished(
    pipeline: Pipeline, stores: Stores, series: HeadSeries
) -> None:
    with crash_at(deletion, "_remove_findings"):
        drop_results(pipeline, series)
    assert (stores.findings / "found.npz").exists()
    assert finish_it(pipeline) == 1
    assert not (stores.findings / "found.npz").exists()
    assert pipeline.row(series).results_deletion is None
    assert len(pipeline.audit("results-deleted")) == 1


def test_results_of_a_later_revision_survive_the_end_of_an_interrupted_deletion(
    pipeline: Pipeline, stores: Stores, series: HeadSeries
) -> None:
    with crash_at(deletion, "_finish_results"):
        drop_results(pipeline, series)
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    finish(pipeline, series)
    newer = sorted(path for path in stores.results.rglob("*.dcm") if path.parent.name == "2")
    assert len(newer) == 2
    finish_it(pipeline)
    assert sorted(stores.results.rglob("*.dcm")) == newer
    assert (stores.findings / "found.npz").exists(), "they are the second analysis' by now"


def test_a_file_that_cannot_be_deleted_is_told_and_tried_again(
    pipeline: Pipeline, series: HeadSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(spool_deletion.shutil, "rmtree", refuse)
        with pytest.raises(StorageError, match="not permitted"):
            drop(pipeline, series)
    assert finish_it(pipeline) == 1
    assert list(pipeline.folders.spool.iterdir()) == []


def test_senders_and_deletions_at_the_same_time_lose_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    """While a series is deleted over and over its images come again: each that is new has its file."""
    series = make_not_analysed(pipeline, tmp_path)
    stop = threading.Event()
    stored: list[str] = []

    def send() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            stored.append(pipeline.spool.store(series.uid, f"1.2.{number}", b"", b"late").path)

    sender = threading.Thread(target=send)
    sender.start()
    while len(stored) < 3:
        pass
    deleted = [drop(pipeline, series) for _ in range(20)]
    stop.set()
    sender.join(DEADLINE_S)
    assert not any(deleted), "there was always an image without a row"
    assert set(stored) <= set(spooled(pipeline))


def test_a_backup_holds_deletions_up(
    pipeline: Pipeline, stores: Stores, series: HeadSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "deletions_held_up", lambda root: deletions_held_up(root, patience_s=0.0))
    with deletions_held_up(stores.root), pytest.raises(StorageError, match="being copied or deleted") as caught:
        drop(pipeline, series)
    assert caught.value.retry_helps
    assert len(spooled(pipeline)) == 8
    assert drop(pipeline, series)


def another_slice(series: HeadSeries, folder: Path) -> Path:
    """A ninth slice, on top of the eight."""
    image = dcmread(series.files[-1])
    below = dcmread(series.files[-2], stop_before_pixels=True)
    x, y, z = map(float, image.ImagePositionPatient)
    image.ImagePositionPatient = [x, y, z + z - float(below.ImagePositionPatient[2])]
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{image.SOPInstanceUID}.9"
    image.InstanceNumber = 99
    file = folder / "late.dcm"
    image.save_as(file, enforce_file_format=True)
    return file
