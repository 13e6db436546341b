"""Results that were damaged: every kind of damage is named at the right object and the right check."""

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from dicom_node.validation.validate_folder import validate_folder
from tests.support.ct_source import ROOT
from tests.support.damage import change_the_name, drop_unused_evidence, spoil_a_uid
from tests.support.result_folder import Change, change_file, flip_bit, items_of, outcomes


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


def drop_the_description(dataset: Dataset) -> None:
    del dataset.StudyDescription


def change_the_instance_in_the_meta_information(dataset: Dataset) -> None:
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.8"


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
WITHOUT_PIXELS = {"file", "mask", "overlap", "sr.dcm tracking", "sr.dcm volume", "sr.dcm centre"}
"""What cannot be checked where a segmentation's pixels are not all there."""
DAMAGES: list[tuple[str, Change, set[str], str]] = [
    (SEG, change_a_voxel, {"sr.dcm volume"}, "Aneurysm candidate 1 states 21.45 mm3, its segment has 21.300 mm3"),
    (SEG, move_a_frame, {"place"}, "frame 1 lies 0.100 mm from the source image"),
    (SEG, turn_the_frames, {"place"}, "is turned against the source image that it refers to"),
    (SEG, give_a_frame_to_another_segment, {"segments", "mask", "sr.dcm volume", "sr.dcm centre"}, "segment 3"),
    (SEG, put_both_segments_on_one_plane, {"overlap", "sr.dcm volume"}, "36 voxels lie in two segments"),
    (SEG, leave_out_a_number, {"segments", "sr.dcm tracking", "sr.dcm volume", "sr.dcm centre"}, r"numbered \[1, 3\]"),
    (SEG, change_a_tracking_uid, {"sr.dcm tracking"}, "Aneurysm candidate 1 has another tracking UID than its segment"),
    (SEG, cut_the_pixels, WITHOUT_PIXELS, "the pixel data have 380 bytes, rows, columns and frames need 390"),
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
