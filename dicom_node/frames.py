"""Single-frame and multi-frame CT headers behind one face: a frame, and what the header says of it."""

import re
import struct
import traceback
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dicom_node.reasons import NotAnalysable, Reason

SINGLE_FRAME_CLASSES = (CTImageStorage,)  # PS3.4 B.5
MULTI_FRAME_CLASSES = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

# What pydicom raises when bytes are not what the header says they are.
DAMAGED = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    AssertionError,
    EOFError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)
# Leading zeros, which PS3.5 section 9.1 forbids and scanners have written, are let through as they came.
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
MAXIMUM_UID_LENGTH = 64  # PS3.5 section 9.1


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice of a header: the instance itself, or frame `number` (from 1) of a multi-frame one.

    groups: where the functional groups of the frame stand, the frame's own before the shared ones
    (PS3.3 C.7.6.16); empty for a single-frame instance.
    """

    header: Dataset
    number: int | None
    groups: tuple[Dataset, ...] = ()

    def value(self, sequence_keyword: str, keyword: str) -> Any:
        """The attribute, or None: from the functional group, or from the header of a single-frame instance."""
        if self.number is None:
            return read_value(self.header, keyword)
        for group in self.groups:
            items = read_value(group, sequence_keyword)
            if items:
                return read_value(items[0], keyword)
        return None

    def numbers(self, sequence_keyword: str, keyword: str, count: int) -> tuple[float, ...] | None:
        """The attribute's `count` numbers, or None where it is absent or empty."""
        value = self.value(sequence_keyword, keyword)
        return None if value is None or value == "" else _as_numbers(value, keyword, count)


def list_frames(header: Dataset) -> list[Frame]:
    """The frames of one instance in stored order.

    Raises:
        NotAnalysable: the frames' functional groups do not fit their number.
    """
    if read_value(header, "SOPClassUID") not in MULTI_FRAME_CLASSES:
        return [Frame(header, None)]
    own = read_value(header, "PerFrameFunctionalGroupsSequence") or ()
    shared = tuple(read_value(header, "SharedFunctionalGroupsSequence") or ())
    stated = read_integer(header, "NumberOfFrames")
    if not own or stated != len(own):
        raise NotAnalysable(
            Reason.HEADER_UNREADABLE, f"{stated} frames are stated, functional groups of {len(own)} are there"
        )
    return [Frame(header, number, (groups, *shared)) for number, groups in enumerate(own, start=1)]


@contextmanager
def damage_refused() -> Iterator[None]:
    """Whatever pydicom raises at a header within the block refuses the series, and ends no process.

    Values are decoded when they are first looked at, wherever that is. The detail says what was raised and where, for
    it may be a mistake of this program too, and not what was read.

    Raises:
        NotAnalysable: what was raised was one of DAMAGED.
    """
    try:
        yield
    except DAMAGED as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__} in {place.name}, line {place.lineno}"
        raise NotAnalysable(Reason.HEADER_UNREADABLE, detail) from error


def read_value(dataset: Dataset, keyword: str) -> Any:
    """The attribute's value, or None where it is absent.

    Raises:
        NotAnalysable: its bytes cannot be read as what it is.
    """
    try:
        return dataset.get(keyword)
    except DAMAGED as error:
        raise NotAnalysable(Reason.HEADER_UNREADABLE, f"{keyword} cannot be read") from error


def read_integer(dataset: Dataset, keyword: str) -> int | None:
    """The attribute's one integer, or None where it is absent or empty."""
    value = read_value(dataset, keyword)
    if value is None or value == "":
        return None
    number = _as_numbers(value, keyword, 1)[0]
    if not number.is_integer():
        raise NotAnalysable(Reason.HEADER_UNREADABLE, f"{keyword} is no whole number")
    return int(number)


def read_uid(dataset: Dataset, keyword: str) -> str:
    """The attribute's UID.

    Raises:
        NotAnalysable: it is absent, or no UID. A number may look like one, and is none.
    """
    value = read_value(dataset, keyword)
    if not isinstance(value, str) or len(value) > MAXIMUM_UID_LENGTH or not _UID.fullmatch(value):
        raise NotAnalysable(Reason.HEADER_UNREADABLE, f"{keyword} is missing or no UID")
    return value


def _as_numbers(value: Any, keyword: str, count: int) -> tuple[float, ...]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    try:
        numbers = tuple(float(part) for part in values)
    except DAMAGED as error:
        raise NotAnalysable(Reason.HEADER_UNREADABLE, f"{keyword} is no number") from error
    if len(numbers) != count:
        raise NotAnalysable(
            Reason.HEADER_UNREADABLE, f"{keyword} has {len(numbers)} values instead of {count}"
        )
    return numbers
