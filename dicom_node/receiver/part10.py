"""What stands before a received data set in its file (PS3.10 section 7.1)."""

import struct
from functools import lru_cache

from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_AE_TITLE_LENGTH = 16  # PS3.5 table 6.2-1, VR AE
_PREAMBLE = b"\0" * 128 + b"DICM"


def encode_head(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str
) -> bytes:
    """Preamble, prefix and file meta information of an instance.

    Its length does not depend on the sender: the AE title is padded to its full 16 characters, so that one
    instance from two senders gives files of one layout. Encoded here and not by pydicom, which takes 0.3 ms
    for these few elements: a tenth of what a slice takes in all.
    """
    before, after = _fixed_parts(sop_class_uid, transfer_syntax_uid, source_ae_title)
    meta = before + _uid(0x0003, sop_instance_uid) + after
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<I", len(meta))) + meta


@lru_cache(maxsize=256)
def _fixed_parts(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """The elements of PS3.10 table 7.1-1 before and after Media Storage SOP Instance UID."""
    version = struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\0\1"
    before = version + _uid(0x0002, sop_class_uid)
    after = (
        _uid(0x0010, transfer_syntax_uid)
        + _uid(0x0012, IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", _even(IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "))
        + _element(0x0016, b"AE", source_ae_title.encode("ascii").ljust(_AE_TITLE_LENGTH))
    )
    return before, after


def _uid(element: int, uid: str) -> bytes:
    return _element(element, b"UI", _even(uid.encode("ascii"), b"\0"))


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    """An element of group 0002 in Explicit VR Little Endian (PS3.5 section 7.1.2)."""
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)
