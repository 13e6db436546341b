"""What a compressed frame says of itself, read before a decoder is let loose on it."""

import struct
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000TransferSyntaxes, RLELossless

from dicom_node.frames import read_integer
from dicom_node.reasons import NotAnalysable, Reason

_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ, ISO/IEC 15444-1 A.4.1, A.5.1
_JPEG_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})  # SOF0-3, ITU-T T.81 B.2.2; T.87 C.2.2
_JPEG_WITHOUT_LENGTH = frozenset({0xD8, 0x01, *range(0xD0, 0xD8)})  # SOI, TEM, RST


def check_codestreams(dataset: Dataset) -> None:
    """Prove that each compressed frame is one plane of the stated size, before memory is spent on it.

    dataset: an instance in a compressed transfer syntax, with its pixels.

    Raises:
        NotAnalysable: a frame has another size, or none can be found.
        ValueError, struct.error, LookupError: the encapsulation is damaged.
    """
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        return  # RLE frames state no size; pydicom compares what it expands with the header's
    rows, columns = read_integer(dataset, "Rows"), read_integer(dataset, "Columns")
    count = read_integer(dataset, "NumberOfFrames") or 1
    size_of = (
        _size_of_j2k if dataset.file_meta.TransferSyntaxUID in JPEG2000TransferSyntaxes else _size_of_jpeg
    )
    for frame in generate_frames(dataset.PixelData, number_of_frames=count):
        *found, components = size_of(frame)
        if components != 1:
            raise NotAnalysable(Reason.PIXEL_DATA_UNREADABLE, f"a compressed frame has {components} planes")
        if tuple(found) != (rows, columns):
            raise NotAnalysable(
                Reason.PIXEL_DATA_UNREADABLE,
                f"a compressed frame is {tuple(found)}, the header says {(rows, columns)}",
            )


def _size_of_j2k(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components by the SIZ marker segment, which starts at the SOC marker."""
    start = frame.find(_J2K_START)
    if start < 0:
        raise ValueError("no JPEG 2000 codestream")
    x_size, y_size, x_offset, y_offset, components = struct.unpack_from(">4I16xH", frame, start + 8)
    return y_size - y_offset, x_size - x_offset, components


def _size_of_jpeg(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and components by the frame header (SOF) of JPEG and JPEG-LS."""
    for marker, start in _jpeg_segments(frame):
        if marker in _JPEG_FRAME_HEADERS:
            rows, columns, components = struct.unpack_from(">2HB", frame, start + 3)
            return rows, columns, components
    raise ValueError("no frame header in the JPEG stream")


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Each marker and where its segment's length stands."""
    position = 0
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            raise ValueError("no JPEG marker where one must be")
        marker = frame[position + 1]
        position += 1 if marker == 0xFF else 2
        if marker == 0xFF or marker in _JPEG_WITHOUT_LENGTH:
            continue
        yield marker, position
        position += struct.unpack_from(">H", frame, position)[0]
