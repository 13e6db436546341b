"""How many items a message of storage commitment has, before it is decoded: each takes as long, whatever it holds."""

import struct

_TAG = struct.Struct("<HH")
_SHORT, _LONG = struct.Struct("<H"), struct.Struct("<I")
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)  # PS3.5 section 7.5
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_REFERENCES = frozenset(((0x0008, 0x1198), (0x0008, 0x1199)))  # Failed, Referenced SOP Sequence (PS3.3 C.14)
_DEEPEST = 4  # sequences in one another; a message has one


def count_items(data: bytes, *, implicit_vr: bool) -> int:
    """The items of every sequence that decoding a little-endian data set would look into.

    Raises ValueError where a sequence holds anything but items, is nested deeper than any message has it, or where the
    data set cannot be followed: a decoder takes whatever stands in an item's place for one.
    """
    walk = _Walk(data, implicit_vr)
    end = walk.elements(0, len(data), 0, until=None)
    if end != len(data):
        raise ValueError("it ends in the middle of an element")
    return walk.items


class _Walk:
    def __init__(self, data: bytes, implicit_vr: bool) -> None:
        self._data = data
        self._implicit = implicit_vr
        self.items = 0

    def elements(self, at: int, end: int, depth: int, until: tuple[int, int] | None) -> int:
        """Go through elements from `at` to `end`, or behind the delimiter `until`; where that is."""
        while at < end:
            tag = self._tag(at)
            if tag == until:
                return at + 8
            start, length, is_sequence = self._head(at, tag)
            if length == _UNDEFINED:
                at = self._items(start, end, depth + 1, undefined=True)
                continue
            if start + length > end:
                raise ValueError("an element is longer than what holds it")
            if is_sequence:
                self._items(start, start + length, depth + 1, undefined=False)
            at = start + length
        if until is not None:
            raise ValueError("an item has no end")
        return at

    def _head(self, at: int, tag: tuple[int, int]) -> tuple[int, int, bool]:
        """Where the value begins, its length, and whether decoding looks into it."""
        try:
            if self._implicit:
                return at + 8, _LONG.unpack_from(self._data, at + 4)[0], tag in _REFERENCES
            vr = self._data[at + 4 : at + 6]
            if not (vr.isalpha() and vr.isupper()):
                raise ValueError("an element has no VR")
            if vr not in _LONG_VRS:
                return at + 8, _SHORT.unpack_from(self._data, at + 6)[0], False
            length = _LONG.unpack_from(self._data, at + 8)[0]
        except struct.error as error:
            raise ValueError("it ends in the middle of an element") from error
        if length == _UNDEFINED and vr != b"SQ":
            raise ValueError("an element that is no sequence has no length")
        return at + 12, length, vr == b"SQ"

    def _items(self, at: int, end: int, depth: int, *, undefined: bool) -> int:
        if depth > _DEEPEST:
            raise ValueError("sequences are nested")
        while at < end:
            tag = self._tag(at)
            if undefined and tag == _SEQUENCE_END:
                return at + 8
            if tag != _ITEM or at + 8 > end:
                raise ValueError("a sequence holds something else than items")
            self.items += 1
            length = _LONG.unpack_from(self._data, at + 4)[0]
            if length == _UNDEFINED:
                at = self.elements(at + 8, end, depth, until=_ITEM_END)
                continue
            if at + 8 + length > end:
                raise ValueError("an item is longer than its sequence")
            at = self.elements(at + 8, at + 8 + length, depth, until=None)
        if undefined:
            raise ValueError("a sequence has no end")
        return at

    def _tag(self, at: int) -> tuple[int, int]:
        try:
            group, element = _TAG.unpack_from(self._data, at)
        except struct.error as error:
            raise ValueError("it ends in the middle of an element") from error
        return group, element
