"""Attributes whose VR in the file is not theirs, in images that the receiver takes as they are."""

import struct
from collections.abc import Iterable
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from tests.support.dicom_network import data_set_in


def mislabel(file: Path, keyword: str, vr: bytes, value: bytes) -> None:
    """Give an element of an Explicit VR Little Endian file another VR and value; VRs with a length of 16 bits."""
    raw = file.read_bytes()
    body = data_set_in(raw)
    file.write_bytes(raw[: -len(body)] + _replaced(body, keyword, vr, value))


def mislabel_all(files: Iterable[Path], keyword: str, vr: bytes, value: bytes) -> None:
    """The same in each of the files."""
    for file in files:
        mislabel(file, keyword, vr, value)


def _replaced(body: bytes, keyword: str, vr: bytes, value: bytes) -> bytes:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    key = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    at = body.index(key)
    (length,) = struct.unpack_from("<H", body, at + 6)
    return body[:at] + key + vr + struct.pack("<H", len(value)) + value + body[at + 8 + length :]
