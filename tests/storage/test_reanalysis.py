"""An ended series is taken up again as its next revision; one that is being worked on is left alone."""

from collections.abc import Callable

import pytest

from storage.errors import StorageError, UnknownSeries
from storage.reanalysis import reanalyse
from storage.series import complete_series
from storage.states import SeriesState
from tests.storage.stages import QUIET, SERIES, Node


def end(node: Node) -> None:
    node.publish()
    node.deliver("PACS")
    node.deliver("ARCHIVE")


def test_an_ended_series_is_complete_again_at_once(node: Node) -> None:
    end(node)
    assert node.series().state == SeriesState.DONE
    assert reanalyse(node.db, SERIES, "user:jo", node.now) == 2
    row = node.series()
    assert (row.state, row.revision, row.findings_path, row.outcome) == (SeriesState.RECEIVING, 2, None, None)
    assert complete_series(node.db, node.now + QUIET, QUIET) == [SERIES]
    (entry,) = node.events("series-reanalysed")
    assert (entry.actor, entry.detail["from"], entry.detail["next_revision"]) == ("user:jo", "DONE", 2)


@pytest.mark.parametrize("bring_on", [Node.complete, Node.queue, Node.analyse])
def test_what_is_being_worked_on_is_left_alone(node: Node, bring_on: Callable[[Node], None]) -> None:
    bring_on(node)
    before = node.series()
    with pytest.raises(StorageError, match="still being worked on"):
        reanalyse(node.db, SERIES, "user:jo", node.now)
    assert node.series() == before


def test_a_series_that_is_not_there_is_named(node: Node) -> None:
    with pytest.raises(UnknownSeries, match=r"1\.2\.9"):
        reanalyse(node.db, "1.2.9", "user:jo", node.now)
