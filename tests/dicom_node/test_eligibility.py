"""Each rule of eligibility, and which of several wins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGLSNearLossless

from dicom_node.dicom_file import read_headers
from dicom_node.eligibility import check_contrast
from dicom_node.read_series import inspect_series
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import SelectionSettings
from glianet.volume import Volume
from tests.support.written_series import (
    ASSEMBLY,
    FEW_SLICES,
    axial,
    change_header,
    inspect,
    random_hu,
    turned,
    write,
)


@pytest.fixture
def headers(tmp_path: Path) -> list[Dataset]:
    return list(read_headers(write(tmp_path)))


def refusal(headers: list[Dataset], selection: SelectionSettings = FEW_SLICES) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        inspect_series(headers, selection, ASSEMBLY, conflicting=False)
    return caught.value


def change_all(headers: list[Dataset], **attributes: Any) -> None:
    for header in headers:
        change_header(header, **attributes)


@pytest.mark.parametrize(
    ("attributes", "reason", "said"),
    [
        ({"Modality": "MR"}, Reason.MODALITY, "'MR'"),
        ({"Modality": None}, Reason.MODALITY, "''"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.SOP_CLASS, "1.2.840.10008.5.1.4.1.1.7"),
        ({"BodyPartExamined": "chest"}, Reason.BODY_PART, "'CHEST'"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.IMAGE_TYPE_LOCALIZER, "LOCALIZER"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, Reason.IMAGE_TYPE_DERIVED, "MIP"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, Reason.IMAGE_TYPE_DERIVED, "MPR"),
        ({"LossyImageCompression": "01"}, Reason.LOSSY_COMPRESSION, "5 of 5"),
        ({"RescaleSlope": None}, Reason.HOUNSFIELD_UNAVAILABLE, "missing"),
        ({"RescaleIntercept": None}, Reason.HOUNSFIELD_UNAVAILABLE, "missing"),
        ({"RescaleSlope": 0}, Reason.HOUNSFIELD_UNAVAILABLE, "slope 0"),
        ({"RescaleType": "US"}, Reason.HOUNSFIELD_UNAVAILABLE, "'US'"),
        ({"RescaleType": "HU_MOD"}, Reason.HOUNSFIELD_UNAVAILABLE, "'HU_MOD'"),
    ],
)
def test_rule_on_every_image(
    headers: list[Dataset], attributes: dict[str, Any], reason: Reason, said: str
) -> None:
    change_all(headers, **attributes)
    caught = refusal(headers)
    assert caught.reason is reason
    assert said in caught.detail


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSNearLossless, JPEG2000])
def test_lossy_transfer_syntax(headers: list[Dataset], syntax: str) -> None:
    for header in headers:
        header.file_meta.TransferSyntaxUID = syntax
    assert refusal(headers).reason is Reason.LOSSY_COMPRESSION


def test_derivation_by_lossy_compression(headers: list[Dataset]) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113040", "DCM"
    change_header(headers[3], DerivationCodeSequence=[code])
    assert refusal(headers).reason is Reason.LOSSY_COMPRESSION


def test_unknown_transfer_syntax(headers: list[Dataset]) -> None:
    headers[0].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    assert refusal(headers).reason is Reason.TRANSFER_SYNTAX


def test_rescale_type_may_be_absent(headers: list[Dataset]) -> None:
    change_all(headers, RescaleType=None)
    inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)


def test_lossless_recompression_is_derived_but_accepted(headers: list[Dataset]) -> None:
    change_all(headers, ImageType=["DERIVED", "PRIMARY", "AXIAL"], LossyImageCompression="00")
    inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)


@pytest.mark.parametrize("body_part", [None, "", "HEAD", "CIRCLE OF WILLIS", "NECK", "Kopf"])
def test_other_body_parts_pass(headers: list[Dataset], body_part: str | None) -> None:
    change_all(headers, BodyPartExamined=body_part)
    inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)


def test_one_scout_among_slices_is_a_mixture_not_a_scout(headers: list[Dataset]) -> None:
    change_header(headers[1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    caught = refusal(headers)
    assert (caught.reason, caught.detail) == (Reason.MIXED_IMAGES, "1 of 5 images: image type LOCALIZER")


def test_frame_type_of_a_multi_frame_image_counts(tmp_path: Path) -> None:
    headers = list(read_headers(write(tmp_path, form="enhanced")))
    groups = headers[0].SharedFunctionalGroupsSequence[0]
    groups.CTImageFrameTypeSequence[0].FrameType = ["DERIVED", "PRIMARY", "VOLUME", "MPR"]
    assert refusal(headers).reason is Reason.IMAGE_TYPE_DERIVED


def test_few_slices_of_a_damaged_series_are_no_candidate_first(headers: list[Dataset]) -> None:
    change_all(headers, RescaleSlope=None)
    caught = refusal(headers, SelectionSettings(minimum_slices=6))
    assert (caught.reason, caught.detail) == (Reason.TOO_FEW_SLICES, "5 slices, at least 6")


def test_localizer_is_named_before_its_number_of_slices(headers: list[Dataset]) -> None:
    change_all(headers, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert refusal(headers, SelectionSettings()).reason is Reason.IMAGE_TYPE_LOCALIZER


def test_too_many_slices(headers: list[Dataset]) -> None:
    assert refusal(headers, SelectionSettings(minimum_slices=1, maximum_slices=4)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("spacing", "accepted"), [(1.5, True), (1.6, False)])
def test_slice_spacing(tmp_path: Path, spacing: float, accepted: bool) -> None:
    headers = list(read_headers(write(tmp_path, affine=axial((spacing, 0.5, 0.5)))))
    if accepted:
        inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)
    else:
        assert refusal(headers).reason is Reason.SLICE_SPACING_TOO_LARGE


def test_thick_slices_with_a_gap_are_no_candidate_first(tmp_path: Path) -> None:
    headers = list(read_headers(write(tmp_path, affine=axial((5.0, 0.5, 0.5)))))
    assert refusal([*headers[:2], *headers[3:]]).reason is Reason.SLICE_SPACING_TOO_LARGE


@pytest.mark.parametrize(("degrees", "accepted"), [(14.9, True), (15.1, False), (90.0, False)])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_angle_from_axial(tmp_path: Path, axis: str, degrees: float, accepted: bool) -> None:
    headers = list(read_headers(write(tmp_path, affine=turned(axial(), axis, degrees))))
    if accepted:
        inspect_series(headers, FEW_SLICES, ASSEMBLY, conflicting=False)
    else:
        caught = refusal(headers)
        assert caught.reason is Reason.NOT_AXIAL
        assert f"{degrees:.1f} degrees" in caught.detail


def test_turn_within_the_slice_does_not_matter(tmp_path: Path) -> None:
    inspect(write(tmp_path, affine=turned(axial(), "z", 40.0)))


def test_perfusion_shows_every_position_several_times(tmp_path: Path) -> None:
    headers = list(read_headers(write(tmp_path)))
    again = list(read_headers(write(tmp_path)))
    for number, header in enumerate(again):
        change_header(header, SOPInstanceUID=f"1.2.3.{number}")
    caught = refusal([*headers, *again])
    assert (caught.reason, caught.detail) == (Reason.REPEATED_POSITIONS, "10 images at 5 positions")


def test_volume_without_air_is_not_in_hounsfield_units() -> None:
    """A forgotten intercept of -1024 puts air at 0 and the brain at 1064."""
    hu = random_hu((20, 32, 32)) // 4
    hu[hu < 0] = 0
    with pytest.raises(NotAnalysable) as caught:
        check_contrast(Volume(hu, axial()), SelectionSettings())
    assert caught.value.reason is Reason.HOUNSFIELD_UNAVAILABLE


def test_contrast_is_held_against_the_setting() -> None:
    """4 x 4 x 20 voxels of 1 mm3 hold 0.32 mL of contrast."""
    hu = np.full((40, 80, 80), -1000, np.int16)
    hu[:, 8:-8, 8:-8] = 40
    hu[10:30, 38:42, 38:42] = 300
    volume = Volume(hu, axial((1.0, 1.0, 1.0)))
    check_contrast(volume, SelectionSettings(contrast_minimum_volume_ml=0.32))
    with pytest.raises(NotAnalysable) as caught:
        check_contrast(volume, SelectionSettings(contrast_minimum_volume_ml=0.33))
    assert caught.value.reason is Reason.NO_CONTRAST
    assert caught.value.detail.startswith("0.32 mL between 150 and 700 HU")
