"""Results that this node did not make: what is known of them is checked, what is not known harms nothing."""

import json
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
)

from dicom_node.validation.validate_folder import validate_folder
from dicom_node.validation.verdicts import FolderVerdict
from tests.support.ct_source import ROOT, CtSource, write_ct
from tests.support.result_folder import change_file, flip_bit

OTHER = "1.2.826.0.1.3680043.8.498.78"
SMALL = CtSource(slices=12, rows=25, columns=27)  # frames do not end on a byte
LESION = Code("52988006", "SCT", "Lesion")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_ct(tmp_path / "ct", SMALL)
    return tmp_path


def outcomes(verdict: FolderVerdict, outcome: str) -> dict[str, str]:
    """Of the one object: check -> sentence."""
    (one,) = verdict.objects
    return {check.name: check.sentence for check in one.checks if check.outcome == outcome}


def images(folder: Path) -> list[Dataset]:
    return sorted(map(dcmread, (folder / "ct").iterdir()), key=lambda one: float(one.ImagePositionPatient[2]))


def mask() -> np.ndarray:
    """(slices, rows, columns): a block of 3 x 4 x 5 in slices 3 to 5."""
    labels = np.zeros((12, 25, 27), np.uint8)
    labels[3:6, 8:12, 9:14] = 1
    return labels


def write_segmentation(folder: Path, kind: str, syntax: str = ExplicitVRLittleEndian) -> Path:
    """A SEG as another program that uses highdicom would make it."""
    described = hd.seg.SegmentDescription(1, "Lesion", ABNORMAL, LESION, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
    made = hd.seg.Segmentation(
        images(folder),
        mask().astype(np.float32) if kind == "FRACTIONAL" else mask(),
        hd.seg.SegmentationTypeValues[kind],
        [described],
        f"{OTHER}.2",
        300,
        f"{OTHER}.3",
        1,
        "Other works",
        "Model",
        "1",
        "12",
        transfer_syntax_uid=syntax,
    )
    made.save_as(folder / "other.dcm")
    return folder / "other.dcm"


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_segmentation_of_another_make(folder: Path, kind: str) -> None:
    write_segmentation(folder, kind)
    verdict = validate_folder(folder)
    assert outcomes(verdict, "failed") == {}
    assert outcomes(verdict, "passed")["mask"] == "60 voxels in 1 segment"
    assert "research use" in outcomes(verdict, "not made")
    assert "place" in outcomes(verdict, "passed")


def test_a_compressed_label_map(folder: Path) -> None:
    write_segmentation(folder, "LABELMAP", "1.2.840.10008.1.2.5")
    assert outcomes(validate_folder(folder), "passed")["mask"] == "60 voxels in 1 segment"


def test_a_fractional_segmentation_has_its_place_checked(folder: Path) -> None:
    file = write_segmentation(folder, "FRACTIONAL")
    verdict = validate_folder(folder)
    assert verdict.passed
    assert "its voxels are fractions" in outcomes(verdict, "not made")["mask"]

    def move(segmentation: Dataset) -> None:
        position = segmentation.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        position.ImagePositionPatient[0] += 3

    change_file(file, move)
    assert "frame 1 lies 3.000 mm from" in outcomes(validate_folder(folder), "failed")["place"]


def test_a_frame_of_a_label_map_with_a_value_that_is_no_segment(folder: Path) -> None:
    file = write_segmentation(folder, "LABELMAP")

    def put_seven(segmentation: Dataset) -> None:
        segmentation.PixelData = b"\7" + segmentation.PixelData[1:]

    change_file(file, put_seven)
    assert outcomes(validate_folder(folder), "failed")["mask"] == "voxels have the value 7, which is no segment"


def test_a_segmentation_by_dcmqi(folder: Path) -> None:
    """Another implementation writes the SEG and its references; a voxel more is a voxel more."""
    program = Path(sys.executable).with_name("itkimage2segimage")
    if not program.exists():
        pytest.skip("dcmqi is not installed")
    image = SimpleITK.GetImageFromArray(mask())
    image.SetSpacing((0.5, 0.5, 0.6))
    image.SetOrigin(SMALL.origin)
    SimpleITK.WriteImage(image, folder / "mask.nrrd")
    category, kind = (
        {"CodeValue": code.value, "CodingSchemeDesignator": "SCT", "CodeMeaning": code.meaning}
        for code in (ABNORMAL, LESION)
    )
    segment = {
        "labelID": 1,
        "SegmentDescription": "Lesion",
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": category,
        "SegmentedPropertyTypeCodeSequence": kind,
    }
    described = {"ContentCreatorName": "Reader", "SeriesNumber": "300", "segmentAttributes": [[segment]]}
    (folder / "mask.json").write_text(json.dumps(described))
    command = [program, "--inputImageList", folder / "mask.nrrd", "--inputDICOMDirectory", folder / "ct"]
    command += ["--inputMetadata", folder / "mask.json", "--outputDICOM", folder / "other.dcm", "--skip"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    verdict = validate_folder(folder)
    assert outcomes(verdict, "failed") == {}
    assert outcomes(verdict, "passed")["mask"] == "60 voxels in 1 segment"
    assert "place" in outcomes(verdict, "passed")
    change_file(folder / "other.dcm", lambda segmentation: flip_bit(segmentation, 0, 0))
    assert outcomes(validate_folder(folder), "passed")["mask"] == "61 voxels in 1 segment"


def unknown(folder: Path, sop_class_uid: str, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """An object of the source's patient and study, with nothing of its own class."""
    source = images(folder)[0]
    made = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        setattr(made, keyword, source[keyword].value)
    for keyword in ("StudyTime", "StudyID", "AccessionNumber"):
        setattr(made, keyword, source[keyword].value)
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = sop_class_uid, f"{OTHER}.3", f"{OTHER}.2"
    made.Modality, made.Manufacturer = "OT", "Other works"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    return made


def refer(folder: Path, made: Dataset, instance: str) -> None:
    image, series = Dataset(), Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = images(folder)[0].SOPClassUID, instance
    series.SeriesInstanceUID, series.ReferencedImageSequence = f"{ROOT}.2", [image]
    made.ReferencedSeriesSequence = [series]


def write(folder: Path, made: Dataset) -> None:
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    (folder / "other.dcm").write_bytes(buffer.getvalue())


def test_a_presentation_state(folder: Path) -> None:
    """A class without checks of its own: patient, study and references are checked all the same."""
    made = unknown(folder, GrayscaleSoftcopyPresentationStateStorage, ImplicitVRLittleEndian)
    refer(folder, made, f"{ROOT}.3.1")
    write(folder, made)
    verdict = validate_folder(folder)
    assert verdict.objects[0].kind == "Grayscale Softcopy Presentation State Storage"
    assert verdict.passed
    assert {"file", "identifiers", "patient of the source", "references"} == set(outcomes(verdict, "passed"))
    refer(folder, made, f"{ROOT}.3.13")
    made.PatientID = "P-0816"
    write(folder, made)
    assert outcomes(validate_folder(folder), "failed") == {
        "patient of the source": "it differs from its source in PatientID",
        "references": f"it refers to {ROOT}.3.13, which is not here",
    }


def test_a_pdf_without_references_is_held_against_the_study(folder: Path) -> None:
    made = unknown(folder, EncapsulatedPDFStorage)
    made.EncapsulatedDocument = b"%PDF-1.4 "
    write(folder, made)
    verdict = validate_folder(folder)
    assert verdict.passed
    assert "patient of the source" in outcomes(verdict, "passed")
    assert outcomes(verdict, "not made")["references"] == "it refers to nothing that is here"
    made.PatientBirthDate = "19610208"
    write(folder, made)
    assert "in PatientBirthDate" in outcomes(validate_folder(folder), "failed")["patient of the source"]


def test_another_make_may_leave_out_what_does_not_identify_but_not_contradict(folder: Path) -> None:
    made = unknown(folder, EncapsulatedPDFStorage)
    made.StudyDescription = "MR head"
    write(folder, made)
    failed = outcomes(validate_folder(folder), "failed")
    assert failed == {"patient of the source": "it differs from its source in StudyDescription"}


def test_a_private_class(folder: Path) -> None:
    write(folder, unknown(folder, "1.2.826.0.1.3680043.8.498.99.1"))
    assert validate_folder(folder).passed


def test_a_directory_of_media_is_no_result(folder: Path) -> None:
    made = unknown(folder, "1.2.840.10008.1.3.10")
    write(folder, made)
    (folder / "other.dcm").rename(folder / "DICOMDIR")
    verdict = validate_folder(folder)
    assert (verdict.objects, verdict.skipped) == ((), ("DICOMDIR",))
    shutil.rmtree(folder / "ct")
    assert not validate_folder(folder).passed
