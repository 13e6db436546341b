"""Association requests before they are decoded: what senders need passes, what costs time to decode does not."""

import struct

import pytest
from pydicom.uid import AllTransferSyntaxes, CTImageStorage
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.presentation import AllStoragePresentationContexts

from dicom_node.request_check import RequestTooLarge, check_answer, check_request

HEADER_BYTES = 6


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def request(contexts: int, syntaxes: int, user_items: int = 2) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 table 9-11)."""
    known = [str(syntax).encode() for syntax in AllTransferSyntaxes]
    one = item(0x30, str(CTImageStorage).encode())
    one += b"".join(item(0x40, known[n % len(known)]) for n in range(syntaxes))
    body = struct.pack(">HH", 1, 0) + b"GLIANET".ljust(16) + b"SCANNER".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += b"".join(item(0x20, bytes([2 * n % 256 + 1, 0, 0, 0]) + one) for n in range(contexts))
    body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") * (user_items - 1))
    return struct.pack(">BBI", 1, 0, len(body)) + body


def refusal(data: bytes) -> str:
    with pytest.raises(RequestTooLarge) as caught:
        check_request(data[HEADER_BYTES:])
    return caught.value.what


def test_what_a_sender_of_everything_proposes_passes() -> None:
    """Every storage class with some syntaxes, or a hundred contexts with forty: both decode."""
    assert len(AllStoragePresentationContexts) > 128  # which is why a sender of all must choose
    for contexts, syntaxes in ((128, 4), (100, 40), (1, 64), (128, 0)):
        data = request(contexts, syntaxes)
        check_request(data[HEADER_BYTES:])
        A_ASSOCIATE_RQ().decode(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (request(129, 1), "129 presentation contexts; 128 are the most"),
        (request(10_000, 0), "10000 presentation contexts; 128 are the most"),
        (request(1, 65), "66 items in a presentation context; 65 are the most"),
        (request(1, 2000), "2001 items in a presentation context; 65 are the most"),
        (request(120, 40), "4800 transfer syntaxes; 4096 are the most"),
        (request(1, 1, user_items=513), "513 items of user information; 512 are the most"),
    ],
)
def test_more_than_any_sender_needs_is_refused(data: bytes, what: str) -> None:
    assert refusal(data) == what


CONTEXT_OF_MANY = item(0x20, b"\1\0\0\0" + item(0x40, b"1.2.840.10008.1.2") * 500)


@pytest.mark.parametrize(
    ("items", "what"),
    [
        (item(0x50, CONTEXT_OF_MANY), "an item of type 0x20 stands where none of that type may"),
        (item(0x20, b"\1\0\0\0" + CONTEXT_OF_MANY), "an item of type 0x20 stands where none of that type may"),
        (item(0x40, b"1.2.840.10008.1.2"), "an item of type 0x40 stands where none of that type may"),
        (item(0x21, b"\1\0\0\0"), "an item of type 0x21 stands where none of that type may"),
        (item(0x50, b"") * 2, "2 user information items; 1 are the most"),
    ],
)
def test_items_where_the_standard_has_none_are_refused(items: bytes, what: str) -> None:
    """The decoder takes them wherever they stand."""
    assert refusal(bytes(HEADER_BYTES + 68) + items) == what


def test_an_answer_has_contexts_of_its_own_type() -> None:
    accepted = item(0x21, b"\1\0\0\0" + item(0x40, b"1.2.840.10008.1.2"))
    check_answer(bytes(68) + accepted + item(0x50, item(0x51, bytes(4))))
    for wrong in (accepted * 129, CONTEXT_OF_MANY, item(0x21, b"\1\0\0\0" + item(0x40, b"1.2") * 66)):
        with pytest.raises(RequestTooLarge):
            check_answer(bytes(68) + wrong)


def test_lengths_that_lie_lead_nowhere() -> None:
    """To the end and no further; what then stands in the wrong place is refused."""
    data = bytearray(request(2, 2))
    where = data.index(b"\x20\x00", HEADER_BYTES + 68)
    data[where + 2 : where + 4] = b"\xff\xff"
    assert "0x20 stands where none of that type may" in refusal(bytes(data))
    for body in (b"", bytes(67), bytes(70)):
        check_request(body)
