"""Storage commitment on the wire: requests and reports as data sets, and back (PS3.4 annex J, PS3.3 C.14)."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.events import Event

from dicom_node.commitment_items import count_items
from dicom_node.errors import NodeError
from dicom_node.identifiers import is_valid_uid

STORAGE_COMMITMENT = UID("1.2.840.10008.1.20.1")
WELL_KNOWN_INSTANCE = UID("1.2.840.10008.1.20.1.1")  # PS3.4 section J.3.5
PROPOSED_CONTEXTS = tuple((STORAGE_COMMITMENT, syntax) for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian))
LARGEST_INFORMATION = 4 * 1024**2  # bytes; some 25,000 references, and 2,500 slices are the most that is analysed
# Bytes of a sequence item that refers to an instance, at least: its tag, and two UIDs of some twenty characters.
SMALLEST_ITEM = 48
REQUEST_COMMITMENT = 1  # Action Type ID, PS3.4 table J.3-1
ALL_COMMITTED, SOME_FAILED = 1, 2  # Event Type IDs, PS3.4 table J.3-2

# Statuses of PS3.7 annex C
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_EVENT_TYPE = 0x0113
INVALID_ARGUMENT = 0x0115
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
RESOURCE_LIMITATION = 0x0213

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""

_decoding = threading.Lock()  # of one message at a time: decoded, it takes many times its size in memory


class InvalidMessage(NodeError):
    """A request or report that cannot be acted on, and the status that says so."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what, where="storage commitment")


@dataclass(frozen=True)
class Failure:
    """An instance that is not committed to, and why (Failure Reason, PS3.3 C.14.1.1)."""

    reference: Reference
    reason: int


@dataclass(frozen=True)
class Report:
    """The event information of a report."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failure, ...]


def encode_request(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    """Action Information of PS3.4 table J.3-1."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = [_item(reference) for reference in references]
    return information


def encode_report(report: Report) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of PS3.4 table J.3-2. A sequence without items is left out."""
    information = Dataset()
    information.TransactionUID = report.transaction_uid
    if report.committed:
        information.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        information.FailedSOPSequence = [_failed_item(failure) for failure in report.failed]
    return (SOME_FAILED if report.failed else ALL_COMMITTED), information


def decode_request(event: Event) -> tuple[str, tuple[Reference, ...]]:
    """Transaction UID and references of an N-ACTION request, each once. Raises InvalidMessage."""
    request = cast(N_ACTION, event.request)
    _check_instance(request.RequestedSOPInstanceUID)
    if request.ActionTypeID != REQUEST_COMMITMENT:
        raise InvalidMessage(NO_SUCH_ACTION, f"action type {request.ActionTypeID} is not known")
    _check_size(request.ActionInformation)
    try:
        with _decoding:
            _check_items(request.ActionInformation, event)
            information = event.action_information
            transaction_uid = _uid(information.TransactionUID)
            references = _references(information.ReferencedSOPSequence)
    except InvalidMessage:
        raise
    except Exception as error:  # noqa: BLE001 - what a decoder raises on hostile bytes has no common base
        raise _unreadable(error) from error
    if not references:
        raise InvalidMessage(INVALID_ARGUMENT, "no instance is referenced")
    return transaction_uid, tuple(dict.fromkeys(references))


def decode_report(event: Event) -> Report:
    """What an N-EVENT-REPORT request says. Raises InvalidMessage."""
    request = cast(N_EVENT_REPORT, event.request)
    _check_instance(request.AffectedSOPInstanceUID)
    if request.EventTypeID not in (ALL_COMMITTED, SOME_FAILED):
        raise InvalidMessage(NO_SUCH_EVENT_TYPE, f"event type {request.EventTypeID} is not known")
    _check_size(request.EventInformation)
    try:
        with _decoding:
            _check_items(request.EventInformation, event)
            information = event.event_information
            return Report(
                _uid(information.TransactionUID),
                tuple(_references(information.get("ReferencedSOPSequence") or ())),
                tuple(_failures(information.get("FailedSOPSequence") or ())),
            )
    except InvalidMessage:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise _unreadable(error) from error


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item


def _failed_item(failure: Failure) -> Dataset:
    item = _item(failure.reference)
    item.FailureReason = failure.reason
    return item


def _check_instance(sop_instance_uid: UID | None) -> None:
    if sop_instance_uid != WELL_KNOWN_INSTANCE:
        raise InvalidMessage(NO_SUCH_INSTANCE, "the SOP instance is not the well-known one")


def _check_size(information: BytesIO | None) -> None:
    if information is None:
        raise InvalidMessage(INVALID_ARGUMENT, "no information came with it")
    if information.getbuffer().nbytes > LARGEST_INFORMATION:
        raise InvalidMessage(RESOURCE_LIMITATION, f"more than {LARGEST_INFORMATION} bytes came with it")


def _check_items(information: BytesIO | None, event: Event) -> None:
    data = b"" if information is None else information.getvalue()
    implicit_vr = UID(event.context.transfer_syntax).is_implicit_VR
    if count_items(data, implicit_vr=implicit_vr) > len(data) / SMALLEST_ITEM:
        raise InvalidMessage(INVALID_ARGUMENT, "more items came with it than instances can be referred to in its size")


def _references(items: Sequence[Dataset]) -> list[Reference]:
    return [(_uid(item.ReferencedSOPClassUID), _uid(item.ReferencedSOPInstanceUID)) for item in items]


def _failures(items: Sequence[Dataset]) -> list[Failure]:
    references = _references(items)
    reasons = [int(item.get("FailureReason") or PROCESSING_FAILURE) for item in items]
    return [Failure(reference, reason) for reference, reason in zip(references, reasons, strict=True)]


def _uid(value: object) -> str:
    text = str(value)
    if not is_valid_uid(text):
        raise InvalidMessage(INVALID_ARGUMENT, "a UID is missing or not valid")
    return text


def _unreadable(error: Exception) -> InvalidMessage:
    return InvalidMessage(INVALID_ARGUMENT, f"it cannot be read ({type(error).__name__})")
