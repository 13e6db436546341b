"""Single-frame and multi-frame headers read alike; damaged values are refused, not raised."""

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage

from dicom_node.dicom_file import read_headers
from dicom_node.frames import Frame, list_frames, read_integer, read_uid, read_value
from dicom_node.planes import find_plane
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.written_series import change_header, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's remarks on bent values


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    change_header(dataset, **attributes)
    return dataset


def with_raw(tag: int, vr: str | None, value: bytes) -> Dataset:
    """A data set whose one element still is the bytes that were read."""
    dataset = Dataset()
    dataset._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, vr is None, True, True)  # type: ignore[assignment]
    return dataset


def code_of(call: object) -> Reason:
    with pytest.raises(NotAnalysable) as refusal:
        call()  # type: ignore[operator]
    return refusal.value.reason


def test_single_frame_header_is_its_own_frame() -> None:
    header = item(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", PixelSpacing=[0.5, 0.4])
    (frame,) = list_frames(header)
    assert frame.number is None
    assert frame.numbers("PixelMeasuresSequence", "PixelSpacing", 2) == (0.5, 0.4)
    assert frame.value("PixelMeasuresSequence", "SliceThickness") is None


def test_frames_own_group_comes_before_the_shared_one() -> None:
    header = item(SOPClassUID=EnhancedCTImageStorage, NumberOfFrames=2)
    header.SharedFunctionalGroupsSequence = [
        item(PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024)])
    ]
    own = item(PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1000)])
    header.PerFrameFunctionalGroupsSequence = [Dataset(), own]
    first, second = list_frames(header)
    assert (first.number, second.number) == (1, 2)
    assert first.numbers("PixelValueTransformationSequence", "RescaleIntercept", 1) == (-1024.0,)
    assert second.numbers("PixelValueTransformationSequence", "RescaleIntercept", 1) == (-1000.0,)


@pytest.mark.parametrize("stated", [0, 1, 3, 1_000_000, None])
def test_number_of_frames_must_fit_the_groups(stated: int | None) -> None:
    header = item(SOPClassUID=EnhancedCTImageStorage, PerFrameFunctionalGroupsSequence=[Dataset(), Dataset()])
    change_header(header, NumberOfFrames=stated)
    assert code_of(lambda: list_frames(header)) is Reason.HEADER_UNREADABLE


def test_bytes_that_do_not_fit_their_type_are_refused() -> None:
    rows = with_raw(0x00280010, "US", b"\x01\x02\x03")
    assert code_of(lambda: read_value(rows, "Rows")) is Reason.HEADER_UNREADABLE


def test_words_in_place_of_numbers_are_refused() -> None:
    slope = with_raw(0x00281053, "LO", b"one ")
    frame = Frame(slope, None)
    assert code_of(lambda: frame.numbers("", "RescaleSlope", 1)) is Reason.HEADER_UNREADABLE


def test_wrong_number_of_values_is_refused() -> None:
    frame = Frame(item(ImagePositionPatient=[1.0, 2.0]), None)
    assert code_of(lambda: frame.numbers("", "ImagePositionPatient", 3)) is Reason.HEADER_UNREADABLE


@pytest.mark.parametrize("value", ["12.5", "nan", "inf"])
def test_integers_are_whole(value: str) -> None:
    dataset = with_raw(0x00281053, "LO", value.encode())
    assert code_of(lambda: read_integer(dataset, "RescaleSlope")) is Reason.HEADER_UNREADABLE


def test_absent_and_empty_numbers_are_none() -> None:
    assert read_integer(Dataset(), "Rows") is None
    assert Frame(item(RescaleSlope=None), None).numbers("", "RescaleSlope", 1) is None


@pytest.mark.parametrize("uid", ["", "1", "1..2", ".1.2", "1.2.", "1.2.a", "1." + "2" * 63])
def test_what_is_no_uid_is_refused(uid: str) -> None:
    dataset = with_raw(0x0020000D, "UI", uid.encode())
    assert code_of(lambda: read_uid(dataset, "StudyInstanceUID")) is Reason.HEADER_UNREADABLE


def test_uid_with_leading_zeros_is_let_through() -> None:
    assert read_uid(with_raw(0x0020000D, "UI", b"1.2.840.0113619"), "StudyInstanceUID") == "1.2.840.0113619"


@pytest.mark.parametrize(
    "keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"]
)
def test_plane_needs_all_its_attributes(tmp_path: Path, keyword: str) -> None:
    header = read_headers(write(tmp_path))[0]
    find_plane(Frame(header, None))
    change_header(header, **{keyword: None})
    assert code_of(lambda: find_plane(Frame(header, None))) is Reason.MISSING_GEOMETRY
