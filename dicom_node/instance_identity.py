"""Which instance an encoded data set is: its UIDs, read without decoding more than their part."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.uid import UID

from dicom_node.errors import NodeError
from dicom_node.identifiers import is_valid_uid

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_UID_TAGS = {
    SOP_CLASS_UID: "SOPClassUID",
    SOP_INSTANCE_UID: "SOPInstanceUID",
    STUDY_INSTANCE_UID: "StudyInstanceUID",
    SERIES_INSTANCE_UID: "SeriesInstanceUID",
}

# Bytes at the start of a data set within which its UIDs must lie: far above what precedes group 0020 in any
# CT object (some kB; 120 kB where a reformat names 1,000 source images), and small enough that hostile data
# cost neither memory nor time.
HEADER_LIMIT = 1024**2
# The groups below are for commands (PS3.7) and file meta information (PS3.10). A data set that began with
# group 0002 would, once it stands in a file, overrule the transfer syntax that was negotiated.
FIRST_GROUP = 0x0008
MAXIMUM_ANNOUNCED = 1_000_000  # instances; a larger announcement is an error of the sender


class UnreadableDataSet(NodeError):
    """The data set cannot be parsed as far as its UIDs, or a UID is missing or invalid."""

    def __init__(self, what: str) -> None:
        super().__init__(what, where="data set", advice="have the sender's export checked")


@dataclass(frozen=True)
class InstanceIdentity:
    """The UIDs of an instance, and the number of instances that its header announces, if it does."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    announced_instances: int | None


def identify_instance(
    data_set: bytes, transfer_syntax_uid: str, announced_count_tags: Sequence[int] = ()
) -> InstanceIdentity:
    """The identity of a data set (PS3.5 section 7), given without file meta information.

    Args:
        data_set: the encoded data set; it may be truncated, corrupt or hostile.
        announced_count_tags: attributes that may announce the number of instances; the first one with a
            positive integer counts.

    Raises:
        UnreadableDataSet: it cannot be parsed, or its UIDs are missing or no UIDs (PS3.5 section 9.1).
    """
    elements = _read_elements(data_set, UID(transfer_syntax_uid), (*_UID_TAGS, *announced_count_tags))
    return InstanceIdentity(
        sop_class_uid=_uid(elements, SOP_CLASS_UID),
        sop_instance_uid=_uid(elements, SOP_INSTANCE_UID),
        study_instance_uid=_uid(elements, STUDY_INSTANCE_UID),
        series_instance_uid=_uid(elements, SERIES_INSTANCE_UID),
        announced_instances=_announced(elements, announced_count_tags),
    )


def _read_elements(data_set: bytes, transfer_syntax: UID, tags: tuple[int, ...]) -> dict[int, RawDataElement]:
    """The wanted elements that are there, by tag; parsing ends behind the last of them, or at a group that no
    data set has."""
    wanted, last = set(tags), max(tags)
    try:
        header = _inflate(data_set) if transfer_syntax.is_deflated else data_set[:HEADER_LIMIT]
        found = data_element_generator(
            BytesIO(header),
            transfer_syntax.is_implicit_VR,
            transfer_syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag.group < FIRST_GROUP or tag > last,
            specific_tags=list(tags),
        )
        raw = (one for one in found if isinstance(one, RawDataElement))
        elements = {int(one.tag): one for one in raw if one.tag in wanted}
    except Exception as error:  # noqa: BLE001 - what a parser raises on hostile bytes has no common base
        raise UnreadableDataSet(f"it cannot be parsed ({type(error).__name__})") from error
    if any(one.length != len(one.value or b"") for one in elements.values()):
        raise UnreadableDataSet("it ends in the middle of its header")
    return elements


def _inflate(data_set: bytes) -> bytes:
    """The first bytes of a deflated data set (PS3.5 A.5, RFC 1951), never more than the limit."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, HEADER_LIMIT)


def _uid(elements: dict[int, RawDataElement], tag: int) -> str:
    value = elements[tag].value if tag in elements else None
    if not value:
        raise UnreadableDataSet(f"{_UID_TAGS[tag]} is missing")
    text = value.decode("ascii", "replace").rstrip("\0 ")
    if not is_valid_uid(text):
        raise UnreadableDataSet(f"{_UID_TAGS[tag]} is not a valid UID")
    return text


def _announced(elements: dict[int, RawDataElement], tags: Sequence[int]) -> int | None:
    counts = (_count(elements[tag]) for tag in tags if tag in elements)
    return next((count for count in counts if count is not None), None)


def _count(element: RawDataElement) -> int | None:
    """A positive count from an element of VR IS, US or UL; None where it is none."""
    value = element.value or b""
    vr = element.VR or dictionary_VR(element.tag)
    if vr in ("US", "UL"):
        count = int.from_bytes(value[:4], "little" if element.is_little_endian else "big")
    else:
        text = value.decode("ascii", "replace").strip("\0 ")
        count = int(text) if text.isdecimal() and len(text) <= 12 else 0  # VR IS: 12 characters at most
    return count if 0 < count <= MAXIMUM_ANNOUNCED else None
