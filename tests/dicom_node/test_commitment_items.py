"""Items of a commitment message are counted before anything is decoded, and what is none is refused."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom.dsutils import encode

from dicom_node.commitment_items import count_items
from dicom_node.commitment_messages import Failure, Report, encode_report, encode_request

REFERENCES = [(CTImageStorage, f"1.2.3.{number}") for number in range(7)]
ITEM, UNDEFINED = b"\xfe\xff\x00\xe0", b"\xff" * 4


def message(*, undefined: bool) -> Dataset:
    failed = tuple(Failure(one, 0x0112) for one in REFERENCES[:3])
    _, information = encode_report(Report("2.25.7", tuple(REFERENCES[3:]), failed))
    for name in ("ReferencedSOPSequence", "FailedSOPSequence"):
        information[name].is_undefined_length = undefined
        for one in information[name].value:
            one.is_undefined_length_sequence_item = undefined
    return information


@pytest.mark.parametrize("implicit_vr", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_items_of_both_sequences_are_counted(implicit_vr: bool, undefined: bool) -> None:
    data = encode(message(undefined=undefined), implicit_vr, True)
    assert data is not None
    assert (UNDEFINED in data) == undefined
    assert count_items(data, implicit_vr=implicit_vr) == 7


def test_a_request_that_names_more_about_its_instances_is_counted() -> None:
    information = encode_request("2.25.7", REFERENCES)
    information.StorageMediaFileSetID = "DISC"
    for item in information.ReferencedSOPSequence:
        item.RetrieveAETitle = "PACS"
        item.add_new(0x00091010, "UN", b"12")
    data = encode(information, False, True)
    assert data is not None
    assert count_items(data, implicit_vr=False) == 7


def sequence(content: bytes, length: bytes | None = None) -> bytes:
    return b"\x08\x00\x99\x11SQ\0\0" + (struct.pack("<I", len(content)) if length is None else length) + content


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (sequence(bytes(8) * 1000), "something else than items"),
        (sequence(b"\x08\x00\x50\x11UI\0\0"), "something else than items"),
        (sequence(ITEM + bytes(4), UNDEFINED), "no end"),
        (sequence(ITEM + UNDEFINED), "no end"),
        (sequence(ITEM + struct.pack("<I", 9)), "longer than its sequence"),
        (b"\x08\x00\x99\x11SQ\0\0" + struct.pack("<I", 9), "longer than what holds it"),
        (b"\x08\x00\x99\x11" + bytes(8), "no VR"),
        (b"\x08\x00\x99\x11UN\0\0" + UNDEFINED, "no sequence has no length"),
        (b"\x08\x00", "middle of an element"),
        (b"\x08\x00\x99\x11SQ", "middle of an element"),
    ],
)
def test_what_a_decoder_would_take_for_items_is_refused(data: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        count_items(data, implicit_vr=False)


def test_nesting_ends() -> None:
    data = b""
    for _ in range(5):
        data = sequence(ITEM + struct.pack("<I", len(data)) + data)
    with pytest.raises(ValueError, match="nested"):
        count_items(data, implicit_vr=False)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_counted_or_refused(data: bytes, implicit_vr: bool) -> None:
    with suppress(ValueError):
        assert 0 <= count_items(data, implicit_vr=implicit_vr) <= len(data) / 8
