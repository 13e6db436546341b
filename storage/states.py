"""The states of a series and of a delivery, and the legal moves between them: this file alone owns them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from storage.errors import StorageError


class SeriesState(StrEnum):
    """Where a series stands. Being worked on is no state but a lease on the row."""

    RECEIVING = "RECEIVING"
    COMPLETE = "COMPLETE"
    QUEUED = "QUEUED"
    ANALYSED = "ANALYSED"
    REFUSED = "REFUSED"
    DELIVERING = "DELIVERING"
    DONE = "DONE"
    NOT_ANALYSED = "NOT_ANALYSED"
    FAILED = "FAILED"


class DeliveryState(StrEnum):
    """Where the results of one revision of a series stand with one destination.

    STORED: every object was taken, and the destination is yet to say that it keeps them (PS3.4 annex J). WITHDRAWN:
    it was not sent, or not whole, or is not known to be kept, and nothing more will be done: a later revision took its
    place, somebody gave up, or the node's database was lost.
    """

    PENDING = "PENDING"
    STORED = "STORED"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    WITHDRAWN = "WITHDRAWN"


class CommitmentOutcome(StrEnum):
    """What came of asking a destination to commit itself; none while its report is waited for."""

    COMMITTED = "committed"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # another report came first, or the delivery has moved on


class RequestState(StrEnum):
    """Where the answer to somebody who asked this node to commit itself stands."""

    OPEN = "OPEN"
    REPORTED = "REPORTED"
    FAILED = "FAILED"


class Outcome(StrEnum):
    """What was decided on a series; tells in which state its deliveries end."""

    ANALYSED = "analysed"
    REFUSED = "refused"


_S = SeriesState
_D = DeliveryState

# States that a process works on under a lease, and the only ones that can fail.
CLAIMABLE_STATES = frozenset({_S.COMPLETE, _S.QUEUED, _S.ANALYSED, _S.REFUSED})
FAILING_STATES = CLAIMABLE_STATES | {_S.DELIVERING}
ENDED_WELL_STATES = frozenset({_S.DONE, _S.NOT_ANALYSED})
ENDED_STATES = ENDED_WELL_STATES | {_S.FAILED}

# Those that are still on their way: worked on under a lease, withdrawn when the series is re-opened or given up.
OPEN_DELIVERY_STATES = frozenset({_D.PENDING, _D.STORED})

# Every state but RECEIVING also leads to RECEIVING: a late instance re-opens the series as a new revision.
LEGAL_SERIES_MOVES: Mapping[SeriesState, frozenset[SeriesState]] = MappingProxyType(
    {
        _S.RECEIVING: frozenset({_S.COMPLETE}),
        _S.COMPLETE: frozenset({_S.QUEUED, _S.REFUSED, _S.FAILED, _S.RECEIVING}),
        _S.QUEUED: frozenset({_S.ANALYSED, _S.REFUSED, _S.FAILED, _S.RECEIVING}),
        _S.ANALYSED: frozenset({_S.DELIVERING, _S.DONE, _S.FAILED, _S.RECEIVING}),
        _S.REFUSED: frozenset({_S.DELIVERING, _S.NOT_ANALYSED, _S.FAILED, _S.RECEIVING}),
        _S.DELIVERING: frozenset({_S.DONE, _S.NOT_ANALYSED, _S.FAILED, _S.RECEIVING}),
        _S.DONE: frozenset({_S.RECEIVING}),
        _S.NOT_ANALYSED: frozenset({_S.RECEIVING}),
        # a retry moves to column failed_from; who gives up closes it, or has it refused (storage.abandoning)
        _S.FAILED: frozenset({*FAILING_STATES, *ENDED_WELL_STATES, _S.RECEIVING}),
    }
)

LEGAL_DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = MappingProxyType(
    {
        _D.PENDING: frozenset({_D.STORED, _D.DELIVERED, _D.FAILED, _D.WITHDRAWN}),
        _D.STORED: frozenset({_D.DELIVERED, _D.PENDING, _D.FAILED, _D.WITHDRAWN}),  # PENDING: sent again
        _D.FAILED: frozenset({_D.PENDING, _D.WITHDRAWN}),
        _D.DELIVERED: frozenset(),
        _D.WITHDRAWN: frozenset(),
    }
)

State = TypeVar("State", SeriesState, DeliveryState)


class IllegalMove(StorageError):
    """The caller asked for a move that the table above does not have; nothing was changed."""

    def __init__(self, old: SeriesState | DeliveryState, new: SeriesState | DeliveryState) -> None:
        super().__init__(f"{old} does not lead to {new}", where=type(old).__name__)


def check_move(old: State, new: State) -> None:
    """Raise IllegalMove unless `old` may become `new`."""
    legal = LEGAL_SERIES_MOVES[old] if isinstance(old, SeriesState) else LEGAL_DELIVERY_MOVES[old]
    if new not in legal:
        raise IllegalMove(old, new)
