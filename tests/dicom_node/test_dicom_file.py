"""Damaged bytes are a refusal; a failing disk is an error that may be tried again."""

import struct
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dicom_node.dicom_file import LARGEST_HEADER, LARGEST_INFLATED, MOST_ITEMS, read_file, read_headers
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.dicom_network import encode, make_ct, write_ct, write_raw
from tests.support.written_series import write

PIXELS = b"\xe0\x7f\x10\x00"  # the tag of Pixel Data, little endian


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
    ("with_pixels", "reason", "why"),
    [
        (False, Reason.HEADER_UNREADABLE, "no pixels within"),
        (True, Reason.PIXEL_DATA_UNREADABLE, "inflates to more than"),
    ],
)
def test_a_deflate_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_pixels: bool, reason: Reason, why: str
) -> None:
    """Half a gibibyte of zeros in a private element before the pixels; half a megabyte as it is sent."""
    header = make_ct(1, transfer_syntax=DeflatedExplicitVRLittleEndian)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    pixels = encode(make_ct(1)).index(b"\xe0\x7f\x10\x00")
    parts = [deflater.compress(encode(make_ct(1))[:pixels])]
    parts.append(deflater.compress(struct.pack("<HH2sHI", 0x0029, 0x1010, b"OB", 0, LARGEST_INFLATED)))
    parts += [deflater.compress(bytes(2**24)) for _ in range(LARGEST_INFLATED // 2**24)]
    path = write_raw(tmp_path / "bomb.dcm", header, b"".join([*parts, deflater.flush()]))
    monkeypatch.setattr("pydicom.filereader.zlib.decompress", inflate_little)
    with pytest.raises(NotAnalysable, match=why) as caught:
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
        read_file(path, with_pixels=True)


def inflate_little(data: bytes, wbits: int) -> bytes:
    """In place of the inflation that pydicom makes of all there is."""
    whole = zlib.decompressobj(wbits).decompress(data, LARGEST_HEADER + 1)
    assert len(whole) <= LARGEST_HEADER, "a bomb was inflated"
    return whole


ITEM, END = struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
SEQUENCE = struct.pack("<HH2sHI", 0x0031, 0x1001, b"SQ", 0, 0xFFFFFFFF)
FLOODS = {
    "items": (SEQUENCE + ITEM * (MOST_ITEMS + 1) + END, "items"),
    "ends of items": (SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE00D, 0) * (MOST_ITEMS + 1) + END, "items"),
    "no items": (SEQUENCE + struct.pack("<HHI", 0x0001, 0x0001, 0) * (MOST_ITEMS + 1) + END, "ValueError"),
    "elements": (struct.pack("<HH2sH", 0x0031, 0x1001, b"LO", 0) * (LARGEST_HEADER // 64), "no pixels within"),
    "nested": ((SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 10_000, "RecursionError"),
}


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(("flood", "why"), FLOODS.values(), ids=FLOODS)
def test_a_flood_before_the_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flood: bytes, why: str, syntax: str
) -> None:
    """Small as it is sent, hundreds of megabytes once it is parsed: here at an eighth of the size."""
    monkeypatch.setattr("dicom_node.dicom_file.LARGEST_HEADER", LARGEST_HEADER // 8)
    body = encode(make_ct(1))
    at = body.index(PIXELS)
    data = body[:at] + flood + body[at:]
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
    path = write_raw(tmp_path / "flood.dcm", make_ct(1, transfer_syntax=syntax), data)
    with pytest.raises(NotAnalysable, match=why) as caught:
        read_file(path, with_pixels=False)
    assert caught.value.reason is Reason.HEADER_UNREADABLE


@pytest.mark.parametrize("kilobytes", [1, 300, 2000])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_long_header_is_read_like_a_short_one(tmp_path: Path, kilobytes: int, syntax: str) -> None:
    """Longer than the first look, too."""
    image = make_ct(3, transfer_syntax=syntax)
    image.add_new(0x00290010, "LO", "LONG")
    image.add_new(0x00291001, "OB", bytes(range(250)) * 4 * kilobytes)
    path = write_ct(tmp_path, image)
    header = read_file(path, with_pixels=False)
    assert header.InstanceNumber == 3 and header.Rows == 8 and header[0x00291001].value == image[0x00291001].value
    assert "PixelData" not in header and header.filename == str(path)
    assert read_file(path, with_pixels=True).PixelData == image.PixelData


def test_long_headers_are_too_many_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them alone is read: what they take is what stands before their pixels, and no more."""
    paths = []
    for number in range(1, 4):
        image = make_ct(number)
        image.add_new(0x00290010, "LO", "LONG")
        image.add_new(0x00291001, "OB", bytes(100_000))
        paths.append(write_ct(tmp_path, image))
    before_pixels = [path.read_bytes().rindex(PIXELS) for path in paths]
    monkeypatch.setattr("dicom_node.dicom_file.LARGEST_HEADERS", sum(before_pixels) + 3 * len(PIXELS))
    assert [header.InstanceNumber for header in read_headers(paths)] == [1, 2, 3]
    monkeypatch.setattr("dicom_node.dicom_file.LARGEST_HEADERS", sum(before_pixels) - 1)
    with pytest.raises(NotAnalysable, match="together") as caught:
        read_headers(paths)
    assert caught.value.reason is Reason.TOO_LARGE and str(paths[2]) in str(caught.value)


def test_what_comes_behind_the_pixels_is_not_read(tmp_path: Path) -> None:
    trailing = struct.pack("<HH2sH", 0x7FE1, 0x1001, b"LO", 0) * 1000
    path = write_raw(tmp_path / "tail.dcm", make_ct(1), encode(make_ct(1)) + trailing + b"rubbish")
    assert max(read_file(path, with_pixels=True).keys()) == 0x7FE00010
