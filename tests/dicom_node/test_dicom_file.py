"""Damaged bytes are a refusal; a failing disk is an error that may be tried again."""

import struct
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.dicom_file import LARGEST_INFLATED, read_file
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.dicom_network import encode, make_ct, write_ct, write_raw
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


def test_deflated_file_is_read(tmp_path: Path) -> None:
    path = write_ct(tmp_path, make_ct(3, transfer_syntax=DeflatedExplicitVRLittleEndian))
    assert read_file(path, with_pixels=True).InstanceNumber == 3
    assert "PixelData" not in read_file(path, with_pixels=False)


@pytest.mark.parametrize(
    ("with_pixels", "reason"), [(False, Reason.HEADER_UNREADABLE), (True, Reason.PIXEL_DATA_UNREADABLE)]
)
def test_a_deflate_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_pixels: bool, reason: Reason
) -> None:
    """Half a gibibyte of zeros in a private element before the pixels; half a megabyte as it is sent."""
    header = make_ct(1, transfer_syntax=DeflatedExplicitVRLittleEndian)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    pixels = encode(make_ct(1)).index(b"\xe0\x7f\x10\x00")
    parts = [deflater.compress(encode(make_ct(1))[:pixels])]
    parts.append(deflater.compress(struct.pack("<HH2sHI", 0x0029, 0x1010, b"OB", 0, LARGEST_INFLATED)))
    parts += [deflater.compress(bytes(2**24)) for _ in range(LARGEST_INFLATED // 2**24)]
    path = write_raw(tmp_path / "bomb.dcm", header, b"".join([*parts, deflater.flush()]))
    monkeypatch.setattr("pydicom.dcmread", lambda *_args, **_keywords: pytest.fail("inflated"))
    with pytest.raises(NotAnalysable, match="inflates to more than") as caught:
        read_file(path, with_pixels=with_pixels)
    assert caught.value.reason is reason


def test_a_bomb_behind_a_long_meta_group_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transfer syntax is found wherever it stands: here behind 2 MiB of File Meta Information Version."""
    header = make_ct(1, transfer_syntax=DeflatedExplicitVRLittleEndian)
    header.file_meta.FileMetaInformationVersion = bytes(2**21)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path = write_raw(tmp_path / "bomb.dcm", header, deflater.compress(bytes(2**16)) + deflater.flush())
    monkeypatch.setattr("dicom_node.dicom_file.LARGEST_INFLATED", 2**16 - 1)
    with pytest.raises(NotAnalysable, match="inflates to more than"):
        read_file(path, with_pixels=False)
