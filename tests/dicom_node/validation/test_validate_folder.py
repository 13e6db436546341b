"""Results in a folder: good ones pass, and every kind of damage is named at the right object and the right check."""

import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import MRImageStorage

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.errors import NodeError
from dicom_node.reasons import Reason
from dicom_node.result_kinds import KEY_IMAGES, PDF, PRESENTATION_STATE, REPORTS, SEGMENTATIONS
from dicom_node.validation.validate_folder import validate_folder
from dicom_node.validation.verdicts import FolderVerdict
from tests.support.ct_source import PRONE, ROOT, CtSource, write_ct
from tests.support.made_findings import WITH_KEY_IMAGES, make_context, make_findings, read_source
from tests.support.result_folder import (
    BLOCKS,
    SMALL,
    Change,
    change_file,
    flip_bit,
    items_of,
    make_result_folder,
    write_results,
)

OBLIQUE = (0.981627183447664, 0.0, 0.1908089953765448, 0.0, 1.0, 0.0)  # 11 degrees about the y axis
SOURCES = {
    "axial": SMALL,
    "prone": CtSource(slices=12, rows=24, columns=26, orientation=PRONE),
    "oblique, not square": CtSource(slices=12, rows=25, columns=27, orientation=OBLIQUE, spacing=(1.25, 0.4, 0.7)),
    "enhanced": CtSource(slices=12, rows=24, columns=26, kind="enhanced"),
    "legacy": CtSource(slices=12, rows=24, columns=26, kind="legacy"),
    "UID with a leading zero": SMALL.with_attributes(FrameOfReferenceUID=f"{ROOT}.05"),
    "empty attributes": SMALL.with_attributes(AccessionNumber="", PatientBirthDate="", StudyDescription=None),
}
RESULTS = ["key-image-1.dcm", "key-image-2.dcm", "key-image-3.dcm", "seg.dcm", "sr.dcm"]
ELSEWHERE = "references to what is not here"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result_folder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the results and their source, to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "results"))


def outcomes(verdict: FolderVerdict, outcome: str) -> dict[tuple[str, str], str]:
    """(file, check) -> sentence."""
    return {
        (one.file, check.name): check.sentence
        for one in verdict.objects
        for check in one.checks
        if check.outcome == outcome
    }


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("source", SOURCES)
def test_good_results_pass_with_every_check_made(tmp_path: Path, source: str) -> None:
    verdict = validate_folder(make_result_folder(tmp_path, SOURCES[source]))
    assert [one.file for one in verdict.objects] == RESULTS
    assert (outcomes(verdict, "failed"), outcomes(verdict, "not made")) == ({}, {})
    assert verdict.passed
    images = 12 if SOURCES[source].kind == "classic" else 1
    assert verdict.sources == {f"{ROOT}.2": images}


def test_every_object_is_told_what_it_is_and_what_was_checked(made: Path) -> None:
    objects = {one.file: one for one in validate_folder(made).objects}
    assert objects["seg.dcm"].kind == "Segmentation Storage"
    assert objects["seg.dcm"].sop_instance_uid == dcmread(made / "seg.dcm").SOPInstanceUID
    patient = ["patient of the source", "patient of the other results"]
    common = ["file", "identifiers", *patient, "references", "research use"]
    names = {file: [check.name for check in one.checks] for file, one in objects.items()}
    assert names["seg.dcm"] == [*common, "segments", "mask", "overlap", "frame of reference", "place"]
    assert names["sr.dcm"] == [*common, "evidence", "outcome", "tracking", "volume", "centre"]
    assert names["key-image-1.dcm"] == [*common, "study of what it shows", "pages"]
    said = {check.name: check.sentence for one in objects.values() for check in one.checks}
    assert said["mask"] == "151 voxels in 2 segments"  # 4 x 6 x 6 - 1 and 1 x 3 x 3 - 1
    assert said["place"].startswith("5 frames")


def test_the_source_may_lie_elsewhere_or_be_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "ct").rename(tmp_path / "elsewhere")
    assert outcomes(validate_folder(folder, tmp_path / "elsewhere"), "not made") == {}
    alone = validate_folder(folder)
    assert alone.passed
    assert alone.sources == {}
    missing = outcomes(alone, "not made")
    needs_source = {"patient of the source", "frame of reference", "place", "study of what it shows", "references"}
    assert {name for _, name in missing} == needs_source | {ELSEWHERE}
    assert missing["sr.dcm", ELSEWHERE] == "it refers to 12 instances of series of which nothing is here"
    assert ("sr.dcm", "volume") not in missing  # the SEG is here


def test_a_report_without_its_segmentation(folder: Path) -> None:
    """A viewer that takes no SEG is sent the SR that refers to it."""
    (folder / "seg.dcm").unlink()
    verdict = validate_folder(folder)
    assert verdict.passed
    missing = outcomes(verdict, "not made")
    assert set(missing) == {("sr.dcm", name) for name in (ELSEWHERE, "tracking", "volume", "centre")}
    assert missing["sr.dcm", "volume"] == "the segmentation that it refers to is not here"


def test_nothing_found_and_not_analysed(tmp_path: Path) -> None:
    source = read_source(tmp_path / "ct", SMALL)
    write_results(tmp_path / "negative", encode_results(source, make_findings(source, []), make_context()).objects)
    context = make_context(weights_sha256="", fingerprint="refusal")
    refusal = encode_refusal_results(
        read_headers(source.paths), Reason.MISSING_SLICE, "a gap", context, wanted=WITH_KEY_IMAGES
    ).objects
    write_results(tmp_path / "refusal", refusal)
    verdict = validate_folder(tmp_path)
    assert verdict.passed, outcomes(verdict, "failed")
    said = outcomes(verdict, "passed")
    assert said["negative/sr.dcm", "outcome"] == "absent"
    assert said["refusal/sr.dcm", "outcome"] == "undetermined"
    assert ("refusal/key-image-1.dcm", "patient of the source") in said  # a page that refers to nothing


def change_a_voxel(segmentation: Dataset) -> None:
    flip_bit(segmentation, row=13, column=12)


def move_a_frame(segmentation: Dataset) -> None:
    position = segmentation.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    x, y, z = position.ImagePositionPatient
    position.ImagePositionPatient = [x, y, float(z) + 0.1]


def turn_the_frames(segmentation: Dataset) -> None:
    groups = segmentation.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    groups.ImageOrientationPatient = [1, 0, 0, 0, 0.9999, 0.01414]


def give_a_frame_to_another_segment(segmentation: Dataset) -> None:
    """Frame 5 is that of the second segment; segment 3 is nowhere described."""
    frame = segmentation.PerFrameFunctionalGroupsSequence[4]
    frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 3


def put_both_segments_on_one_plane(segmentation: Dataset) -> None:
    """Frames run from head to foot; those of slices 4 and 3 have 6 x 6 voxels each."""
    first, second = segmentation.PerFrameFunctionalGroupsSequence[1:3]
    second.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    second.PlanePositionSequence = first.PlanePositionSequence
    second.DerivationImageSequence = first.DerivationImageSequence


def leave_out_a_number(segmentation: Dataset) -> None:
    segmentation.SegmentSequence[1].SegmentNumber = 3
    segmentation.PerFrameFunctionalGroupsSequence[4].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 3


def change_a_tracking_uid(segmentation: Dataset) -> None:
    segmentation.SegmentSequence[0].TrackingUID = f"{ROOT}.8"


def cut_the_pixels(segmentation: Dataset) -> None:
    segmentation.PixelData = segmentation.PixelData[:-10]


def leave_the_frame_of_reference(segmentation: Dataset) -> None:
    segmentation.FrameOfReferenceUID = f"{ROOT}.8"


def refer_to_a_stranger(segmentation: Dataset) -> None:
    frame = segmentation.PerFrameFunctionalGroupsSequence[0]
    frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.8"


def name_another_series(segmentation: Dataset) -> None:
    segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID = f"{ROOT}.8"


def name_another_class(dataset: Dataset) -> None:
    for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        item.ReferencedSOPClassUID = MRImageStorage


def change_the_name(dataset: Dataset) -> None:
    dataset.PatientName = "Other^Case"


def drop_the_description(dataset: Dataset) -> None:
    del dataset.StudyDescription


def move_to_another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = f"{ROOT}.8"


def change_the_instance_in_the_meta_information(dataset: Dataset) -> None:
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.8"


def spoil_a_uid(dataset: Dataset) -> None:
    dataset.DeviceUID = "2.25.00123"


def take_a_uid_of_the_source(dataset: Dataset) -> None:
    dataset.SeriesInstanceUID = f"{ROOT}.2"


def drop_the_modality(dataset: Dataset) -> None:
    del dataset.Modality


def call_it_a_product(dataset: Dataset) -> None:
    dataset.ContentQualification = "PRODUCT"


def drop_the_research_notice(dataset: Dataset) -> None:
    del dataset.ContributingEquipmentSequence


def state_another_volume(document: Dataset) -> None:
    for item in items_of(document, "118565006")[:1]:
        item.MeasuredValueSequence[0].NumericValue = "21.47"


def state_another_exact_volume(document: Dataset) -> None:
    for item in items_of(document, "118565006")[:1]:
        item.MeasuredValueSequence[0].FloatingPointValue = 21.5


def move_the_centre(document: Dataset) -> None:
    """From the middle of 6 columns of 0.5 mm to beyond the last one."""
    item = items_of(document, "111010")[1]
    x, y, z = item.GraphicData
    item.GraphicData = [x + 1.6, y, z]


def move_the_centre_to_the_missing_corner(document: Dataset) -> None:
    """Columns 9 to 14, rows 10 to 15, slices 2 to 5 but for voxel (2, 10, 9): centre is (4, 13, 12)."""
    item = items_of(document, "111010")[1]
    x, y, z = item.GraphicData
    item.GraphicData = [x - 1.5, y - 1.5, z - 1.2]


def place_the_centre_elsewhere(document: Dataset) -> None:
    items_of(document, "111010")[1].ReferencedFrameOfReferenceUID = f"{ROOT}.8"


def track_another_lesion(document: Dataset) -> None:
    items_of(document, "112040")[0].UID = f"{ROOT}.8"


def refer_to_another_segment(document: Dataset) -> None:
    items_of(document, "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def refer_to_no_segment(document: Dataset) -> None:
    items_of(document, "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = 7


def drop_evidence(document: Dataset) -> None:
    """Slice 4 of 12 holds a lesion: it is referred to as well."""
    series = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    (images,) = [one for one in series if one.SeriesInstanceUID == f"{ROOT}.2"]
    del images.ReferencedSOPSequence[3]


def drop_unused_evidence(document: Dataset) -> None:
    series = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    (images,) = [one for one in series if one.SeriesInstanceUID == f"{ROOT}.2"]
    del images.ReferencedSOPSequence[11]


def say_that_there_is_none(document: Dataset) -> None:
    absent = Dataset()
    absent.CodeValue, absent.CodingSchemeDesignator, absent.CodeMeaning = "272519000", "SCT", "Absent"
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "85659009", "SCT", "Aneurysm"
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "CODE"
    item.ConceptNameCodeSequence, item.ConceptCodeSequence = [name], [absent]
    document.ContentSequence.append(item)


def skip_a_page(image: Dataset) -> None:
    image.InstanceNumber = 4


SEG, SR, PAGE = "seg.dcm", "sr.dcm", "key-image-2.dcm"
DAMAGES: list[tuple[str, Change, set[str], str]] = [
    (SEG, change_a_voxel, {"sr.dcm volume"}, "Aneurysm candidate 1 states 21.45 mm3, its segment has 21.300 mm3"),
    (SEG, move_a_frame, {"place"}, "frame 1 lies 0.100 mm from the source image"),
    (SEG, turn_the_frames, {"place"}, "is turned against the source image that it refers to"),
    (SEG, give_a_frame_to_another_segment, {"segments", "mask", "sr.dcm volume", "sr.dcm centre"}, "segment 3"),
    (SEG, put_both_segments_on_one_plane, {"overlap", "sr.dcm volume"}, "36 voxels lie in two segments"),
    (SEG, leave_out_a_number, {"segments", "sr.dcm tracking", "sr.dcm volume", "sr.dcm centre"}, r"numbered \[1, 3\]"),
    (SEG, change_a_tracking_uid, {"sr.dcm tracking"}, "Aneurysm candidate 1 has another tracking UID than its segment"),
    (SEG, leave_the_frame_of_reference, {"frame of reference", "sr.dcm centre"}, "is not the source's"),
    (SEG, refer_to_a_stranger, {"references", "place"}, f"it refers to {ROOT}.8, which is not here"),
    (SEG, name_another_series, {"references"}, f"lies in series {ROOT}.8, where it does not"),
    (SEG, name_another_class, {"references"}, "it names another SOP Class"),
    (SEG, take_a_uid_of_the_source, {"identifiers", "sr.dcm references"}, "SeriesInstanceUID is one of the source's"),
    (SR, state_another_volume, {"volume"}, "states 21.47 mm3, its segment has 21.450 mm3"),
    (SR, state_another_exact_volume, {"volume"}, "states 21.5 mm3"),
    (SR, move_the_centre, {"centre"}, "the centre of Aneurysm candidate 1 lies outside its segment"),
    (SR, move_the_centre_to_the_missing_corner, {"centre"}, "lies outside its segment"),
    (SR, place_the_centre_elsewhere, {"centre"}, "lies in another frame of reference"),
    (SR, track_another_lesion, {"tracking"}, "another tracking UID"),
    (SR, refer_to_another_segment, {"tracking", "volume", "centre"}, "another tracking identifier"),
    (SR, refer_to_no_segment, {"tracking", "volume", "centre"}, "refers to segment 7, which is not there"),
    (SR, drop_evidence, {"evidence"}, f"it refers to {ROOT}.3.4, which its evidence does not name"),
    (SR, drop_unused_evidence, {"evidence"}, "leaves out 1 of the source's images"),
    (SR, say_that_there_is_none, {"outcome"}, "says that an aneurysm is absent or undetermined, and measures 2"),
    (PAGE, skip_a_page, {"pages", "key-image-1.dcm pages", "key-image-3.dcm pages"}, r"numbered \[1, 3, 4\]"),
]
IN_ANY: list[tuple[Change, set[str], str]] = [
    (change_the_name, {"patient of the source", "patient of the other results"}, "in PatientName"),
    (drop_the_description, {"patient of the source"}, "in StudyDescription"),
    (change_the_instance_in_the_meta_information, {"file"}, "MediaStorageSOPInstanceUID is"),
    (drop_the_modality, {"file"}, "Modality is missing or empty"),
    (spoil_a_uid, {"identifiers"}, "DeviceUID holds the invalid UID '2.25.00123'"),
    (call_it_a_product, {"research use"}, "ContentQualification is 'PRODUCT', not RESEARCH"),
    (drop_the_research_notice, {"research use"}, "the sentence on research use is not there"),
]


def named(file: str, checks: set[str]) -> set[tuple[str, str]]:
    """ "volume" is a check of the file itself, "sr.dcm volume" one of another."""
    return {(name.split(" ", 1)[0], name.split(" ", 1)[1]) if ".dcm " in name else (file, name) for name in checks}


def check_damage(folder: Path, file: str, change: Change, checks: set[str], fragment: str) -> None:
    change_file(folder / file, change)
    verdict = validate_folder(folder)
    failed = outcomes(verdict, "failed")
    assert set(failed) == named(file, checks)
    assert not verdict.passed
    with pytest.raises(AssertionError, match=fragment):
        raise AssertionError("\n".join(failed.values()))


def name_of(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("file", "change", "checks", "fragment"), DAMAGES, ids=name_of)
def test_damage_is_named(folder: Path, file: str, change: Change, checks: set[str], fragment: str) -> None:
    check_damage(folder, file, change, checks, fragment)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("file", [SEG, SR, PAGE])
@pytest.mark.parametrize(("change", "checks", "fragment"), IN_ANY, ids=name_of)
def test_damage_of_any_object_is_named(
    folder: Path, file: str, change: Change, checks: set[str], fragment: str
) -> None:
    check_damage(folder, file, change, checks, fragment)


def test_a_segmentation_beside_a_report_that_nothing_was_found(folder: Path, tmp_path: Path) -> None:
    source = read_source(tmp_path / "source", SMALL)
    write_results(folder, encode_results(source, make_findings(source, []), make_context()).objects)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("sr.dcm", "outcome")}
    assert "nothing was found, and seg.dcm has segments of the same series" in failed["sr.dcm", "outcome"]


def test_a_slice_of_the_source_that_is_missing(folder: Path) -> None:
    """Named by each that refers to it: the page of the lesion whose centre lies in it, and the overview."""
    (missing,) = [path for path in (folder / "ct").iterdir() if dcmread(path).SOPInstanceUID == f"{ROOT}.3.5"]
    missing.unlink()
    failed = outcomes(validate_folder(folder), "failed")
    files = {"seg.dcm", "sr.dcm", "key-image-1.dcm", "key-image-2.dcm"}
    assert {key for key in failed if key[1] == "references"} == {(file, "references") for file in files}
    assert failed["sr.dcm", "references"] == f"it refers to {ROOT}.3.5, which is not here"


def test_a_frame_of_the_source_that_is_not_there(tmp_path: Path) -> None:
    folder = make_result_folder(tmp_path, SOURCES["enhanced"])

    def refer_beyond(image: Dataset) -> None:
        image.SourceImageSequence[0].ReferencedFrameNumber = 13

    change_file(folder / "key-image-2.dcm", refer_beyond)
    failed = outcomes(validate_folder(folder), "failed")
    assert failed == {
        ("key-image-2.dcm", "references"): f"it refers to frame 13 of {ROOT}.4.1, which has 12",
    }


def test_a_patient_of_one_result_alone_is_told_without_the_source(folder: Path) -> None:
    shutil.rmtree(folder / "ct")
    change_file(folder / "seg.dcm", change_the_name)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("seg.dcm", "patient of the other results")}


def test_of_two_results_that_disagree_neither_is_believed(folder: Path) -> None:
    for path in [folder / "ct", *folder.glob("key-image-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    change_file(folder / "seg.dcm", change_the_name)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {(file, "patient of the other results") for file in ("seg.dcm", "sr.dcm")}


def test_a_result_in_another_study_than_its_source(folder: Path) -> None:
    change_file(folder / "key-image-2.dcm", move_to_another_study)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("key-image-2.dcm", "patient of the source"), ("key-image-2.dcm", "study of what it shows")}
    assert failed["key-image-2.dcm", "patient of the source"].endswith("in StudyInstanceUID")


def test_one_instance_with_two_contents(folder: Path) -> None:
    shutil.copy(folder / "sr.dcm", folder / "same.dcm")
    assert validate_folder(folder).passed
    change_file(folder / "same.dcm", drop_unused_evidence)
    failed = outcomes(validate_folder(folder), "failed")
    assert failed["sr.dcm", "identifiers"] == "same.dcm bears the same SOPInstanceUID with other content"
    assert ("same.dcm", "identifiers") in failed


def test_a_broken_file_is_named_and_the_others_are_checked(folder: Path) -> None:
    """Cut anywhere: in the meta information, in the middle of an element, or in the pixels."""
    for name in ("sr.dcm", "seg.dcm"):
        whole = (folder / name).read_bytes()
        for number, length in enumerate(range(150, len(whole), len(whole) // 8)):
            (folder / f"cut-{number}-{name}").write_bytes(whole[:length])
    verdict = validate_folder(folder)
    broken = {one.file: one for one in verdict.objects if one.file.startswith("cut-")}
    assert len(broken) > 12
    assert {file for file, one in broken.items() if one.passed} == set()
    assert len(verdict.objects) == len(broken) + 5
    first = broken["cut-0-sr.dcm"]
    assert (first.kind, [check.name for check in first.checks]) == ("unreadable file", ["file"])


def test_a_folder_without_results(tmp_path: Path) -> None:
    write_ct(tmp_path, SMALL)
    verdict = validate_folder(tmp_path)
    assert (verdict.objects, verdict.passed) == ((), False)
    assert verdict.sources == {f"{ROOT}.2": 12}


def test_other_files_are_passed_over_and_told(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("no DICOM")
    (folder / "empty").touch()
    verdict = validate_folder(folder)
    assert verdict.skipped == ("empty", "notes/read me.txt")
    assert verdict.passed


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="it is no folder"):
        validate_folder(tmp_path / "nowhere")


FORMS = [*SEGMENTATIONS, *REPORTS, KEY_IMAGES, PRESENTATION_STATE, PDF]


@pytest.fixture(scope="module")
def all_forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    source = read_source(folder / "ct", SMALL)
    write_results(folder, encode_results(source, make_findings(source, BLOCKS), make_context(), FORMS).objects)
    return folder


def test_every_form_of_a_result_passes(all_forms: Path) -> None:
    """Label maps, objects with one segment each, frames without a lesion, the older SR classes, and what is unknown."""
    verdict = validate_folder(all_forms)
    assert outcomes(verdict, "failed") == {}
    said = outcomes(verdict, "passed")
    for kind in REPORTS:
        assert {(f"{kind}.dcm", name) for name in ("tracking", "volume", "centre")} <= set(said)
    assert said["seg-labelmap.dcm", "mask"] == "151 voxels in 2 segments"
    assert said["seg-all-frames-each-1.dcm", "mask"] == "143 voxels in 1 segment"
    assert ("presentation-state.dcm", "references") in said
    assert ("pdf.dcm", "patient of the source") in said


@pytest.mark.parametrize(("column", "inside"), [(9.5, True), (8.5, False), (14.9, True), (15.0, False)])
def test_the_centre_as_a_point_in_an_image(all_forms: Path, tmp_path: Path, column: float, inside: bool) -> None:
    """Columns 9 to 14 of the first lesion: the pixel in column 9 reaches from 9.0 to 10.0."""
    folder = Path(shutil.copytree(all_forms, tmp_path / "forms"))

    def move(document: Dataset) -> None:
        point = items_of(document, "111010")[0]
        point.GraphicData = [column, point.GraphicData[1]]

    change_file(folder / "sr-enhanced.dcm", move)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == (set() if inside else {("sr-enhanced.dcm", "centre")})
