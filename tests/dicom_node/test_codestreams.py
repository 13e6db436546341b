"""Compressed frames are measured before they are decoded."""

import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.codestreams import check_codestreams
from dicom_node.read_series import read_volume
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.dcmtk import compress
from tests.support.written_series import inspect, random_hu, write

HU = random_hu((3, 40, 48))  # JPEG 2000 with its usual six resolutions needs 32 pixels


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_frames_of_the_stated_size_pass(tmp_path: Path, syntax: str) -> None:
    check_codestreams(dcmread(write(tmp_path, HU, transfer_syntax_uid=syntax)[0]))


def test_jpeg_lossless_of_another_encoder_passes(tmp_path: Path) -> None:
    (path,) = compress(write(tmp_path / "plain", HU)[:1], "jpeg-lossless", tmp_path / "jpeg")
    check_codestreams(dcmread(path))


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_frame_of_another_size_is_refused(tmp_path: Path, syntax: str) -> None:
    dataset = dcmread(write(tmp_path, HU, transfer_syntax_uid=syntax)[0])
    dataset.Rows = 60
    with pytest.raises(NotAnalysable) as caught:
        check_codestreams(dataset)
    assert caught.value.reason is Reason.PIXEL_DATA_UNREADABLE
    assert "(40, 48)" in caught.value.detail and "(60, 48)" in caught.value.detail


def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A codestream that claims 60,000 x 60,000 pixels would take 7 GiB."""
    paths = write(tmp_path, HU, transfer_syntax_uid=JPEG2000Lossless)
    data = paths[1].read_bytes()
    size = data.index(b"\xff\x4f\xff\x51") + 8
    paths[1].write_bytes(data[:size] + struct.pack(">2I", 60_000, 60_000) + data[size + 8 :])
    source = inspect(paths)
    with pytest.raises(NotAnalysable) as caught:
        read_volume(source)
    assert caught.value.reason is Reason.PIXEL_DATA_UNREADABLE
    assert "(60000, 60000)" in caught.value.detail


@pytest.mark.parametrize(
    ("syntax", "marker", "offset", "components"),
    [(JPEG2000Lossless, b"\xff\x4f\xff\x51", 40, b"\x40\x00"), (JPEGLSLossless, b"\xff\xf7", 9, b"\xff")],
)
def test_frame_of_many_planes_is_refused(
    tmp_path: Path, syntax: str, marker: bytes, offset: int, components: bytes
) -> None:
    """A codestream of 16,384 components takes that many times the memory (T.800 A.5.1, T.87)."""
    dataset = dcmread(write(tmp_path, HU, transfer_syntax_uid=syntax)[0])
    at = dataset.PixelData.index(marker) + offset
    dataset.PixelData = dataset.PixelData[:at] + components + dataset.PixelData[at + len(components) :]
    with pytest.raises(NotAnalysable) as caught:
        check_codestreams(dataset)
    assert caught.value.detail == f"a compressed frame has {int.from_bytes(components, 'big')} planes"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(
    "frame", [b"\xff\xff", b"\xff\xd8\xff\xff", b"\x00" * 64, b"\xff\xd8\xff\xe0\x00\x00"]
)
def test_rubbish_in_place_of_a_frame_is_refused(tmp_path: Path, syntax: str, frame: bytes) -> None:
    paths = write(tmp_path, HU, transfer_syntax_uid=syntax)
    dataset = dcmread(paths[0])
    dataset.PixelData = encapsulate([frame])
    dataset.save_as(paths[0], enforce_file_format=True)
    with pytest.raises(NotAnalysable) as caught:
        read_volume(inspect(paths))
    assert caught.value.reason is Reason.PIXEL_DATA_UNREADABLE
