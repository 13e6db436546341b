"""An association request before it is decoded: as much of it as any sender needs, and no more (PS3.8 section 9.3.2)."""

import struct

from dicom_node.errors import NodeError

MOST_CONTEXTS = 128  # PS3.8 section 9.3.2.2: odd numbers from 1 to 255
# Transfer syntaxes of one context, and of all: the standard names some fifty, and senders propose a few for each SOP
# class. Decoding takes time that grows with the square of those of one context.
MOST_TRANSFER_SYNTAXES = 64
MOST_TRANSFER_SYNTAXES_IN_ALL = 4096
MOST_USER_ITEMS = 512  # of user information: at most one of a kind for each SOP class
_FIXED_BYTES = 68  # protocol version, titles and reserved bytes before the first item
_ITEM = struct.Struct(">BxH")  # item type, length of what follows
_CONTEXT, _TRANSFER_SYNTAX, _USER_INFORMATION = 0x20, 0x40, 0x50
_CONTEXT_HEAD_BYTES = 4  # number and reserved bytes before the syntaxes of a context


class RequestTooLarge(NodeError):
    """An association request names more than any sender needs."""

    def __init__(self, what: str) -> None:
        super().__init__(what, where="association request", advice="have the sender propose less at a time")


def check_request(body: bytes | bytearray) -> None:
    """Look at the items of an A-ASSOCIATE-RQ PDU without its first six bytes; what else is wrong the decoder finds.

    Raises:
        RequestTooLarge: more presentation contexts, transfer syntaxes or user information items than may be.
    """
    contexts = syntaxes = 0
    for kind, start, end in _items(body, _FIXED_BYTES, len(body)):
        if kind == _CONTEXT:
            inside = [one for one, _, _ in _items(body, start + _CONTEXT_HEAD_BYTES, end)]
            own = inside.count(_TRANSFER_SYNTAX)
            contexts, syntaxes = contexts + 1, syntaxes + own
            _check("items in a presentation context", len(inside), MOST_TRANSFER_SYNTAXES + 1)
        elif kind == _USER_INFORMATION:
            _check("items of user information", sum(1 for _ in _items(body, start, end)), MOST_USER_ITEMS)
    _check("presentation contexts", contexts, MOST_CONTEXTS)
    _check("transfer syntaxes", syntaxes, MOST_TRANSFER_SYNTAXES_IN_ALL)


def _items(body: bytes | bytearray, start: int, end: int) -> "list[tuple[int, int, int]]":
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
