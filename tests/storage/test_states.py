"""The legal moves, checked against the list of them written out by hand."""

import itertools

import pytest

from storage.states import DeliveryState, IllegalMove, SeriesState, check_move

LEGAL = {
    "RECEIVING": "COMPLETE",
    "COMPLETE": "QUEUED REFUSED FAILED RECEIVING",
    "QUEUED": "ANALYSED REFUSED FAILED RECEIVING",
    "ANALYSED": "DELIVERING DONE FAILED RECEIVING",
    "REFUSED": "DELIVERING NOT_ANALYSED FAILED RECEIVING",
    "DELIVERING": "DONE NOT_ANALYSED FAILED RECEIVING",
    "DONE": "RECEIVING",
    "NOT_ANALYSED": "RECEIVING",
    "FAILED": "COMPLETE QUEUED ANALYSED REFUSED DELIVERING DONE NOT_ANALYSED RECEIVING",
}
LEGAL_FOR_DELIVERIES = {
    "PENDING": "STORED DELIVERED FAILED WITHDRAWN",
    "STORED": "DELIVERED PENDING FAILED WITHDRAWN",
    "FAILED": "PENDING WITHDRAWN",
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(SeriesState, SeriesState)))
def test_series_moves_as_the_table_says(old: SeriesState, new: SeriesState) -> None:
    if new in LEGAL[old].split():
        check_move(old, new)
    else:
        with pytest.raises(IllegalMove, match=f"{old} does not lead to {new}"):
            check_move(old, new)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(DeliveryState, DeliveryState)))
def test_deliveries_move_as_the_table_says(old: DeliveryState, new: DeliveryState) -> None:
    if new in LEGAL_FOR_DELIVERIES.get(old, "").split():
        check_move(old, new)
    else:
        with pytest.raises(IllegalMove):
            check_move(old, new)
