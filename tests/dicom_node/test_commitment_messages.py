"""Requests and reports as a peer may send them: right, wrong, and hostile."""

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context

from dicom_node.commitment_messages import (
    LARGEST_INFORMATION,
    STORAGE_COMMITMENT,
    Failure,
    InvalidMessage,
    Report,
    decode_report,
    decode_request,
    encode_report,
    encode_request,
)
from tests.support.committing_archive import WELL_KNOWN, report_of

FIRST, SECOND = (CTImageStorage, "1.2.3.1"), (CTImageStorage, "1.2.3.2")


def bytes_of(information: Dataset) -> bytes:
    encoded = encode(information, False, True)
    assert encoded is not None
    return encoded


def request_event(data: bytes | None, action_type: int = 1, instance: str = WELL_KNOWN) -> evt.Event:
    request = N_ACTION()
    request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = STORAGE_COMMITMENT, instance
    request.ActionTypeID = action_type
    request.ActionInformation = None if data is None else BytesIO(data)
    return evt.Event(None, evt.EVT_N_ACTION, {"request": request, "context": _context()})


def report_event(data: bytes | None, event_type: int = 1, instance: str = WELL_KNOWN) -> evt.Event:
    request = N_EVENT_REPORT()
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = STORAGE_COMMITMENT, instance
    request.EventTypeID = event_type
    request.EventInformation = None if data is None else BytesIO(data)
    return evt.Event(None, evt.EVT_N_EVENT_REPORT, {"request": request, "context": _context()})


def _context() -> object:
    context = build_context(STORAGE_COMMITMENT, ExplicitVRLittleEndian)
    context.context_id = 1
    return context.as_tuple


def test_a_request_is_read_as_it_was_written() -> None:
    """An instance that is named twice is one."""
    data = bytes_of(encode_request("2.25.7", [FIRST, SECOND, FIRST]))
    assert decode_request(request_event(data)) == ("2.25.7", (FIRST, SECOND))


@pytest.mark.parametrize(
    ("report", "event_type"),
    [
        (Report("2.25.7", (FIRST, SECOND), ()), 1),
        (Report("2.25.7", (FIRST,), (Failure(SECOND, 0x0112),)), 2),
        (Report("2.25.7", (), (Failure(FIRST, 0x0131),)), 2),
    ],
)
def test_a_report_is_read_as_it_was_written(report: Report, event_type: int) -> None:
    """As PS3.4 table J.3-2 has it: no sequence without an item."""
    kind, information = encode_report(report)
    assert kind == event_type
    assert ("FailedSOPSequence" in information) == bool(report.failed)
    assert ("ReferencedSOPSequence" in information) == bool(report.committed)
    assert decode_report(report_event(bytes_of(information), kind)) == report


def test_a_failure_without_a_reason_is_a_failure() -> None:
    information = report_of("2.25.7", [], [(FIRST, 0x0112)])
    del information.FailedSOPSequence[0].FailureReason
    assert decode_report(report_event(bytes_of(information), 2)).failed == (Failure(FIRST, 0x0110),)


GOOD = bytes_of(encode_request("2.25.7", [FIRST]))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (None, 0x0115),
        (b"", 0x0115),
        (b"\xff" * 100, 0x0115),
        (bytes_of(Dataset()), 0x0115),
        (GOOD[:-7], 0x0115),
        (bytes(LARGEST_INFORMATION + 1), 0x0213),
    ],
    ids=["none", "nothing", "garbage", "no attribute", "cut", "too much"],
)
def test_what_cannot_be_read_is_refused(data: bytes | None, status: int) -> None:
    for decode, event in ((decode_request, request_event(data)), (decode_report, report_event(data))):
        with pytest.raises(InvalidMessage) as caught:
            decode(event)
        assert caught.value.status == status


def test_other_kinds_are_refused() -> None:
    wrong = [
        (decode_request, request_event(GOOD, action_type=2), 0x0123),
        (decode_request, request_event(GOOD, instance="1.2.3"), 0x0112),
        (decode_report, report_event(GOOD, event_type=3), 0x0113),
        (decode_report, report_event(GOOD, instance="1.2.3"), 0x0112),
    ]
    for decode, event, status in wrong:
        with pytest.raises(InvalidMessage) as caught:
            decode(event)
        assert caught.value.status == status


def test_a_sequence_in_a_sequence_in_a_sequence() -> None:
    """10,000 deep, of undefined length: (0008,1199) with an item, and so on."""
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1199, b"SQ", 0, 0xFFFFFFFF)
    level = sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(InvalidMessage):
        decode_request(request_event(level * 10_000))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    at=st.integers(0, len(GOOD) - 1),
    by=st.binary(min_size=1, max_size=4),
    cut=st.integers(0, len(GOOD)),
    report=st.booleans(),
)
def test_no_bytes_do_more_than_be_refused(at: int, by: bytes, cut: int, report: bool) -> None:
    data = (GOOD[:at] + by + GOOD[at + len(by) :])[: cut or None]
    try:
        if report:
            said = decode_report(report_event(data))
            uids = [said.transaction_uid, *(uid for pair in said.committed for uid in pair)]
        else:
            transaction_uid, references = decode_request(request_event(data))
            uids = [transaction_uid, *(uid for pair in references for uid in pair)]
    except InvalidMessage:
        return
    assert all(set(uid) <= set("0123456789.") and 0 < len(uid) <= 64 for uid in uids)


def test_more_items_than_instances_can_be_referred_to_are_not_decoded() -> None:
    """Each takes as long to decode as one with two UIDs in it; 4 MiB would hold half a million."""
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1199, b"SQ", 0, 8000) + b"\xfe\xff\x00\xe0\0\0\0\0" * 1000
    data = bytes_of(encode_request("2.25.7", [FIRST])) + sequence
    with pytest.raises(InvalidMessage, match="more items came with it") as caught:
        decode_request(request_event(data))
    assert caught.value.status == 0x0115
    with pytest.raises(InvalidMessage, match="more items came with it"):
        decode_report(report_event(sequence))
