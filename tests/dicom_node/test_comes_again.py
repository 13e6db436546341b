"""A series that comes again: unchanged, with late slices, other content, other patient data, or after a deletion.

The rules stand in docs/admin-guide.md, "When a series comes again".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node.reasons import Reason
from dicom_node.retention import stores_of
from storage.deletion import delete_images, delete_results
from storage.errors import StorageError
from storage.outbox import deliveries
from storage.reanalysis import reanalyse
from storage.reception import record_instances
from storage.retention import Cause
from storage.series import instance_paths
from storage.states import SeriesState
from tests.support.ended import Template, finish, spooled, take_results
from tests.support.head_series import HeadSeries, change
from tests.support.pipeline import Pipeline
from tests.support.results import replaced_by


@pytest.fixture
def pipeline(template: Template, tmp_path: Path) -> Iterator[Pipeline]:
    with template.open_copy(tmp_path / "node") as opened:
        yield opened


@pytest.fixture
def series(template: Template, tmp_path: Path) -> HeadSeries:
    """Analysed and delivered: one lesion, for the PACS. Files of the test's own, to be changed."""
    folder = tmp_path / "again"
    folder.mkdir()
    files = [folder / file.name for file in template.series.files]
    for file, copy in zip(template.series.files, files, strict=True):
        copy.write_bytes(file.read_bytes())
    return HeadSeries(template.series.hu, template.series.affine, tuple(files))


def drop(pipeline: Pipeline, series: HeadSeries) -> None:
    stores = stores_of(pipeline.folders)
    assert delete_images(pipeline.db, stores, series.uid, Cause.AGE, "retention", pipeline.clock())


def drop_results(pipeline: Pipeline, series: HeadSeries) -> None:
    stores = stores_of(pipeline.folders)
    assert delete_results(pipeline.db, stores, series.uid, Cause.AGE, "retention", pipeline.clock())


def sent(pipeline: Pipeline, series: HeadSeries) -> list[dict[str, Dataset]]:
    """The objects of every delivery, by role, oldest revision first."""
    rows = deliveries(pipeline.db, pipeline.row(series).id)
    return [{one.role: dcmread(pipeline.folders.results / one.path) for one in row.objects} for row in rows]


def uids(pipeline: Pipeline, series: HeadSeries) -> list[dict[str, str]]:
    rows = deliveries(pipeline.db, pipeline.row(series).id)
    return [{one.role: one.sop_instance_uid for one in row.objects} for row in rows]


def refuse(pipeline: Pipeline) -> None:
    """What came is looked at, and the PACS is told that it is not analysed."""
    pipeline.quiet()
    assert pipeline.assemble()
    assert pipeline.publish()
    take_results(pipeline)


def correct_patient(files: Sequence[Path]) -> None:
    for file in files:
        change(file, lambda image: (setattr(image, "PatientID", "CORRECTED"), setattr(image, "PatientSex", "F")))


def texts(report: Dataset) -> str:
    return " ".join(str(element.value) for element in report.iterall() if element.keyword == "TextValue")


def test_the_same_series_again_changes_nothing(pipeline: Pipeline, series: HeadSeries) -> None:
    before = pipeline.row(series)
    pipeline.receive(series.files)
    assert pipeline.row(series) == before
    assert len(pipeline.audit("instance-duplicate")) == 8
    pipeline.quiet()
    assert not pipeline.assemble()


def test_other_content_under_the_same_uid_is_refused_and_both_are_kept(pipeline: Pipeline, series: HeadSeries) -> None:
    change(series.files[2], lambda image: setattr(image, "WindowCenter", "77"))
    pipeline.receive(series.files[2:3])
    refuse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.refusal_code) == (SeriesState.NOT_ANALYSED, Reason.CONFLICTING_INSTANCES)
    assert len(spooled(pipeline)) == 9
    first, second = sent(pipeline, series)
    assert replaced_by(second["sr"]) == {str(first["sr"].SOPInstanceUID)}, "the first analysis holds no longer"


def test_corrected_patient_data_are_refused_and_the_report_says_so(pipeline: Pipeline, series: HeadSeries) -> None:
    """The node cannot know which patient is right: the new report goes where the old one is, and replaces it."""
    correct_patient(series.files)
    pipeline.receive(series.files)
    refuse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.refusal_code) == (SeriesState.NOT_ANALYSED, Reason.CHANGED_PATIENT)
    assert row.refusal_detail == "8 images came again with another PatientID, PatientSex"
    (said,) = pipeline.audit("series-refused")
    assert said.detail["reason"] == "changed-patient"
    first, second = sent(pipeline, series)
    assert second["sr"].PatientID == first["sr"].PatientID != "CORRECTED"
    assert replaced_by(second["sr"]) == {str(first["sr"].SOPInstanceUID)}
    assert "other patient data" in texts(second["sr"])
    assert "CORRECTED" not in texts(second["sr"])


def test_one_image_of_another_patient_is_enough(pipeline: Pipeline, series: HeadSeries) -> None:
    correct_patient(series.files[4:5])
    pipeline.receive(series.files[4:5])
    refuse(pipeline)
    assert pipeline.row(series).refusal_detail == "an image came again with another PatientID, PatientSex"


def test_a_corrected_series_is_analysed_when_the_old_images_were_deleted(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    """The way out: `dicom-node purge SERIES_UID`, then send all of it. Results have the new patient and new UIDs."""
    correct_patient(series.files)
    pipeline.receive(series.files)
    refuse(pipeline)
    drop(pipeline, series)
    assert not pipeline.row(series).conflicting
    pipeline.receive(series.files)
    finish(pipeline, series)
    (returned,) = pipeline.audit("instances-returned")
    assert (returned.detail["instances"], returned.detail["with_other_content"]) == (8, 8)
    first, refusal, corrected = sent(pipeline, series)
    assert {str(one.PatientID) for one in corrected.values()} == {"CORRECTED"}
    assert not {str(one.SOPInstanceUID) for one in corrected.values()} & {
        str(one.SOPInstanceUID) for earlier in (first, refusal) for one in earlier.values()
    }
    assert replaced_by(corrected["sr"]) == {str(refusal["sr"].SOPInstanceUID)}


def test_the_whole_series_again_after_its_images_were_deleted_is_analysed_as_before(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    drop(pipeline, series)
    pipeline.clock.advance(3600)
    pipeline.receive(series.files)
    row = pipeline.row(series)
    assert (row.state, row.revision, row.instance_count) == (SeriesState.RECEIVING, 2, 8)
    assert row.source_purged_at is None
    finish(pipeline, series)
    first, second = uids(pipeline, series)
    assert first == second
    old, new = (sorted(path.glob("*/*.dcm")) for path in [pipeline.folders.results / _only(pipeline)] * 2)
    assert [path.read_bytes() for path in old if path.parent.name == "1"] == [
        path.read_bytes() for path in new if path.parent.name == "2"
    ], "an archive that has them already sees nothing new"


def test_after_its_results_were_deleted_too_they_get_new_uids(pipeline: Pipeline, series: HeadSeries) -> None:
    """The bytes that went out are not known any more; one UID must not stand for two contents."""
    drop(pipeline, series)
    drop_results(pipeline, series)
    pipeline.clock.advance(3600)
    pipeline.receive(series.files)
    finish(pipeline, series)
    first, second = uids(pipeline, series)
    assert not set(first.values()) & set(second.values())
    (report,) = pipeline.folders.results.rglob("sr.dcm")
    assert replaced_by(dcmread(report)) == {first["sr"]}


def test_after_results_alone_were_deleted_another_analysis_replaces_them(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    drop_results(pipeline, series)
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    finish(pipeline, series)
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    finish(pipeline, series)
    first, second, third = uids(pipeline, series)
    assert second == third and not set(first.values()) & set(second.values())


@pytest.mark.parametrize("again", [1, 7])
def test_a_part_that_comes_again_after_the_deletion_is_no_series(
    pipeline: Pipeline, series: HeadSeries, again: int
) -> None:
    """Seven of eight slices without the lowest make an even stack: geometry alone would not notice."""
    drop(pipeline, series)
    pipeline.receive(series.files[8 - again :])
    row = pipeline.row(series)
    assert (row.state, row.instance_count) == (SeriesState.RECEIVING, again)
    assert row.source_purged_at is not None
    refuse(pipeline)
    row = pipeline.row(series)
    assert (row.state, row.refusal_code) == (SeriesState.NOT_ANALYSED, Reason.IMAGES_DELETED)
    assert row.refusal_detail == f"{again} images came, and {8 - again} that had been here did not come again"
    _, refusal = sent(pipeline, series)
    assert replaced_by(refusal["sr"]) == set(), "the report of the whole series holds"
    assert "holds for the images that it names" in texts(refusal["sr"])


def test_the_rest_that_comes_later_makes_it_whole(pipeline: Pipeline, series: HeadSeries) -> None:
    drop(pipeline, series)
    pipeline.receive(series.files[:3])
    refuse(pipeline)
    pipeline.receive(series.files[3:])
    finish(pipeline, series)
    first, fragment, last = sent(pipeline, series)
    assert replaced_by(last["sr"]) == {str(one["sr"].SOPInstanceUID) for one in (first, fragment)}


def test_a_late_slice_after_the_deletion_needs_the_whole_series(
    pipeline: Pipeline, series: HeadSeries, tmp_path: Path
) -> None:
    """A slice that was never here before."""
    drop(pipeline, series)
    late = tmp_path / "late.dcm"
    image = dcmread(series.files[-1])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{image.SOPInstanceUID}.9"
    x, y, z = map(float, image.ImagePositionPatient)
    image.ImagePositionPatient = [x, y, z + abs(z - float(dcmread(series.files[-2]).ImagePositionPatient[2]))]
    image.save_as(late, enforce_file_format=True)
    pipeline.receive([late])
    refuse(pipeline)
    assert pipeline.row(series).refusal_code == Reason.IMAGES_DELETED
    pipeline.receive(series.files)
    pipeline.quiet()
    assert pipeline.assemble()
    row = pipeline.row(series)
    assert (row.state, row.instance_count) == (SeriesState.QUEUED, 9)


def test_a_duplicate_that_came_just_before_the_deletion_went_with_it(pipeline: Pipeline, series: HeadSeries) -> None:
    """Its row is written afterwards; it changes nothing, as any duplicate, and no row claims a file that is gone."""
    again = pipeline._store(series.files[0])
    drop(pipeline, series)
    record_instances(pipeline.db, [again], pipeline.clock())
    row = pipeline.row(series)
    assert row.state == SeriesState.DONE
    assert instance_paths(pipeline.db, row.id) == spooled(pipeline) == []
    assert len(pipeline.audit("instance-duplicate")) == 1


def test_a_series_without_its_images_cannot_be_analysed_again(pipeline: Pipeline, series: HeadSeries) -> None:
    drop(pipeline, series)
    with pytest.raises(StorageError, match="8 of its images are not here any more") as caught:
        reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    assert "send the whole series again" in caught.value.advice
    assert pipeline.row(series).state == SeriesState.DONE


def _only(pipeline: Pipeline) -> str:
    (folder,) = [path.name for path in pipeline.folders.results.iterdir()]
    return folder
