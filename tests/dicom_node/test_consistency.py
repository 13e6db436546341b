"""What instances of one series must agree in."""

from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.dicom_file import read_headers
from dicom_node.read_series import inspect_series
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.written_series import ASSEMBLY, FEW_SLICES, axial, change_header, turned, write


@pytest.fixture
def headers(tmp_path: Path) -> list[Dataset]:
    return list(read_headers(write(tmp_path)))


def refusal(headers: list[Dataset]) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)
    return caught.value


@pytest.mark.parametrize(
    ("keyword", "reason"),
    [
        ("StudyInstanceUID", Reason.MIXED_SERIES),
        ("SeriesInstanceUID", Reason.MIXED_SERIES),
        ("PatientID", Reason.MIXED_SERIES),
        ("FrameOfReferenceUID", Reason.MIXED_FRAME_OF_REFERENCE),
    ],
)
def test_one_instance_that_differs_is_enough(headers: list[Dataset], keyword: str, reason: Reason) -> None:
    change_header(headers[2], **{keyword: "1.2.3.4"})
    caught = refusal(headers)
    assert (caught.reason, caught.detail) == (reason, f"2 different values of {keyword}")


def test_frame_of_reference_must_be_there(headers: list[Dataset]) -> None:
    change_header(headers[2], FrameOfReferenceUID=None)
    assert refusal(headers).reason is Reason.MISSING_GEOMETRY


def test_refusals_name_no_patient(headers: list[Dataset]) -> None:
    change_header(headers[2], PatientID="MRN-4711")
    assert "4711" not in str(refusal(headers)) and "PHANTOM" not in str(refusal(headers))


def test_stated_tilt_that_the_slices_do_not_show(headers: list[Dataset]) -> None:
    change_header(headers[2], GantryDetectorTilt=18.5)
    caught = refusal(headers)
    assert caught.reason is Reason.GANTRY_TILT
    assert "18.5 degrees" in caught.detail and "0.0 degrees from axial" in caught.detail


@pytest.mark.parametrize("stated", [10.0, -10.0, 10.5])
def test_stated_tilt_that_the_slices_show_without_shear(tmp_path: Path, stated: float) -> None:
    headers = list(read_headers(write(tmp_path, affine=turned(axial(), "x", 10.0))))
    for header in headers:
        change_header(header, GantryDetectorTilt=stated)
    inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)


def test_stated_tilt_of_a_multi_frame_image(tmp_path: Path) -> None:
    headers = list(read_headers(write(tmp_path, form="enhanced")))
    groups = headers[0].SharedFunctionalGroupsSequence[0]
    groups.CTAcquisitionDetailsSequence[0].GantryDetectorTilt = 12.0
    assert refusal(headers).reason is Reason.GANTRY_TILT
