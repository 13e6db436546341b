"""What one peer's messages may cost: a bounded amount of memory, and no connection that nobody serves."""

from collections.abc import Callable
from functools import partial

import structlog
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

# Bytes of a data set: 2,500 slices of 512 x 512 in one multi-frame object, uncompressed, take 1.3e9.
LARGEST_DATA_SET = 2 * 1024**3
# Bytes of a command set: a C-STORE request (PS3.7 table 9.3-1) takes some hundred.
LARGEST_COMMAND_SET = 64 * 1024
_INVALID_PDU = "Evt19"  # PS3.8 table 9-7: unrecognized or invalid PDU received

log = structlog.get_logger(__name__)


class MessageTooLarge(ValueError):
    """A message grew beyond what it may hold."""


def guard_messages(association: Association, largest_data_set: int = LARGEST_DATA_SET) -> None:
    """Abort the association on a message that is too large or cannot be decoded; read no message ahead.

    pynetdicom gathers messages without a limit, while an earlier one is served too (a peer need not wait for
    the answer), and its thread ends with the connection open where a command set cannot be understood.
    """
    dul = association.dul
    read = partial(_read_unless_busy, association, dul._is_transport_event)
    dul._is_transport_event = read  # type: ignore[method-assign]
    receive = partial(_receive, association, association.dimse.receive_primitive, largest_data_set)
    association.dimse.receive_primitive = receive  # type: ignore[method-assign]


def _read_unless_busy(association: Association, read: Callable[[], bool]) -> bool:
    """Read the next PDU, but not while a message waits to be served; whether something was read."""
    busy = association.is_established and not association.dimse.msg_queue.empty()
    return not busy and read()


def _receive(
    association: Association, receive: Callable[[P_DATA], None], largest_data_set: int, primitive: P_DATA
) -> None:
    try:
        receive(primitive)
        _check_size(association, largest_data_set)
    except Exception as error:  # noqa: BLE001 - what a decoder raises on hostile bytes has no common base
        log.warning(
            "message cannot be taken; the association is aborted",
            error=type(error).__name__,
            address=association.requestor.address,
        )
        association.dimse.message = None
        association.dul.event_queue.put(_INVALID_PDU)


def _check_size(association: Association, largest_data_set: int) -> None:
    message = association.dimse.message
    if message is None:
        return
    command_set, data_set = message.encoded_command_set, message.data_set
    if command_set.tell() > LARGEST_COMMAND_SET or (data_set and data_set.tell() > largest_data_set):
        raise MessageTooLarge
