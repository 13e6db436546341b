"""Damaged bytes are a refusal; a failing disk is an error that may be tried again."""

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.dicom_file import read_file
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.written_series import write


def test_pixels_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path)[0]
    assert "PixelData" in read_file(path, with_pixels=True)
    assert "PixelData" not in read_file(path, with_pixels=False)
    assert read_file(path, with_pixels=False).filename == str(path)


@pytest.mark.parametrize(
    ("with_pixels", "reason"), [(False, Reason.HEADER_UNREADABLE), (True, Reason.PIXEL_DATA_UNREADABLE)]
)
def test_file_that_ends_within_a_sequence(tmp_path: Path, with_pixels: bool, reason: Reason) -> None:
    path = write(tmp_path, form="enhanced")[0]
    dataset = dcmread(path)
    dataset[
        "PerFrameFunctionalGroupsSequence"
    ].is_undefined_length = True  # its end is a delimiter, here cut off
    dataset.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x00\x52\x30\x92") + 30])  # (5200,9230), per-frame functional groups
    with pytest.raises(NotAnalysable) as caught:
        read_file(path, with_pixels=with_pixels)
    assert caught.value.reason is reason


def test_missing_file_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "absent.dcm", with_pixels=False)
