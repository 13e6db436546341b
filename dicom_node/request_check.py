"""An association request or its answer before it is decoded: what any peer needs, and no more (PS3.8 section 9.3)."""

import struct
from collections.abc import Container, Iterable

from dicom_node.errors import NodeError

MOST_CONTEXTS = 128  # PS3.8 section 9.3.2.2: odd numbers from 1 to 255
# Transfer syntaxes of one context, and of all: the standard names some fifty, and senders propose a few for each SOP
# class. Decoding takes time that grows with the square of those of one context.
MOST_TRANSFER_SYNTAXES = 64
MOST_TRANSFER_SYNTAXES_IN_ALL = 4096
MOST_USER_ITEMS = 512  # of user information: at most one of a kind for each SOP class
_FIXED_BYTES = 68  # protocol version, titles and reserved bytes before the first item
_VERSION, _VERSION_1 = struct.Struct(">H"), 0x0001  # a bit for each version
_ITEM = struct.Struct(">BxH")  # item type, length of what follows
_APPLICATION, _CONTEXT, _ACCEPTED, _USER_INFORMATION = 0x10, 0x20, 0x21, 0x50
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_USER_ITEMS = range(0x51, 0x5A)  # maximum length to user identity, PS3.7 annex D.3.3 and PS3.8 annex D
_CONTEXT_HEAD_BYTES = 4  # number and reserved bytes before the syntaxes of a context


class RequestTooLarge(NodeError):
    """An association request or answer names more than any peer needs, or items where none may be."""

    def __init__(self, what: str) -> None:
        super().__init__(what, where="association request", advice="have the sender propose less at a time")


def check_request(body: bytes | bytearray) -> None:
    """Look at the items of an A-ASSOCIATE-RQ PDU without its first six bytes; what else is wrong the decoder finds.

    Raises:
        RequestTooLarge: more presentation contexts, transfer syntaxes or user information items than may be, or items
            where the standard has none: the decoder takes them wherever they stand.
    """
    _check_items_of(body, _CONTEXT)


def check_answer(body: bytes | bytearray) -> None:
    """The same of an A-ASSOCIATE-AC."""
    _check_items_of(body, _ACCEPTED)


def keep_first_version(body: bytearray) -> None:
    """Of the versions of the protocol that a request or an answer names, bit 0 alone is to be tested (PS3.8 9.3.2)."""
    if len(body) >= _VERSION.size:
        (versions,) = _VERSION.unpack_from(body)
        _VERSION.pack_into(body, 0, versions & _VERSION_1)


def _check_items_of(body: bytes | bytearray, context: int) -> None:
    found = _items(body, _FIXED_BYTES, len(body))
    kinds = [kind for kind, _, _ in found]
    _check_kinds(kinds, (_APPLICATION, context, _USER_INFORMATION))
    _check("presentation contexts", kinds.count(context), MOST_CONTEXTS)
    _check("user information items", kinds.count(_USER_INFORMATION), 1)
    syntaxes = 0
    for kind, start, end in found:
        if kind == context:
            inside = [one for one, _, _ in _items(body, start + _CONTEXT_HEAD_BYTES, end)]
            _check_kinds(inside, (_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX))
            _check("items in a presentation context", len(inside), MOST_TRANSFER_SYNTAXES + 1)
            syntaxes += inside.count(_TRANSFER_SYNTAX)
        elif kind == _USER_INFORMATION:
            inside = [one for one, _, _ in _items(body, start, end)]
            _check_kinds(inside, _USER_ITEMS)
            _check("items of user information", len(inside), MOST_USER_ITEMS)
    _check("transfer syntaxes", syntaxes, MOST_TRANSFER_SYNTAXES_IN_ALL)


def _check_kinds(found: Iterable[int], known: Container[int]) -> None:
    strange = next((kind for kind in found if kind not in known), None)
    if strange is not None:
        raise RequestTooLarge(f"an item of type 0x{strange:02X} stands where none of that type may")


def _items(body: bytes | bytearray, start: int, end: int) -> list[tuple[int, int, int]]:
    """Type, and where the content begins and ends, of each whole item in body[start:end]."""
    found = []
    while start + _ITEM.size <= end:
        kind, length = _ITEM.unpack_from(body, start)
        start += _ITEM.size
        found.append((kind, start, min(start + length, end)))
        start += length
    return found


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise RequestTooLarge(f"{count} {what}; {most} are the most")
