"""When a series is complete, and reading series and instances."""

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.errors import UnknownSeries
from storage.reception import record_instances
from storage.series import complete_series, get_series, instance_paths, list_series
from storage.spool import Arrival
from storage.states import SeriesState
from tests.storage.stages import QUIET, SERIES, Node

MOMENT = timedelta(microseconds=1)


def test_complete_after_the_quiet_time_and_not_before(node: Node) -> None:
    node.receive(1, 2)
    assert complete_series(node.db, node.now + QUIET - MOMENT, QUIET) == []
    assert node.series().state == SeriesState.RECEIVING
    assert complete_series(node.db, node.now + QUIET, QUIET) == [SERIES]
    assert node.series().state == SeriesState.COMPLETE
    assert complete_series(node.db, node.now + QUIET, QUIET) == []


def test_complete_at_once_when_as_many_came_as_were_announced(node: Node) -> None:
    announced = [replace(node.instance(number), announced_instances=3) for number in (1, 2, 3)]
    record_instances(node.db, announced[:2], node.now)
    assert complete_series(node.db, node.now, QUIET) == []
    record_instances(node.db, announced[2:], node.now)
    assert complete_series(node.db, node.now, QUIET) == [SERIES]


def test_a_conflict_is_not_one_of_the_announced(node: Node) -> None:
    record_instances(node.db, [replace(node.instance(1), announced_instances=2)], node.now)
    node.receive(1, arrival=Arrival.CONFLICT)
    assert complete_series(node.db, node.now, QUIET) == []


def test_the_audit_row_holds_count_bytes_and_sender(node: Node) -> None:
    node.complete()
    (entry,) = node.events("series-complete")
    assert entry.detail == {
        "revision": 1,
        "instances": 2,
        "announced_instances": None,
        "bytes": 1001 + 1002,
        "conflicting": False,
        "sender_ae_title": "SCANNER",
        "sender_address": "192.0.2.7",
        "study_instance_uid": "1.2",
    }
    assert (entry.at, entry.series_instance_uid) == (node.now, SERIES)


def test_only_the_series_that_are_quiet(node: Node) -> None:
    node.receive(1, series="1.1")
    node.receive(1, series="1.2")
    node.now += QUIET
    node.receive(2, series="1.2")
    assert complete_series(node.db, node.now, QUIET) == ["1.1"]


def test_an_unknown_series(node: Node) -> None:
    with pytest.raises(UnknownSeries, match=r"9\.9\.9"):
        get_series(node.db, "9.9.9")


def test_list_by_state_newest_first(node: Node) -> None:
    node.complete("1.1")
    node.complete("1.2")
    node.receive(1, series="1.3")
    assert [row.series_instance_uid for row in list_series(node.db)] == ["1.3", "1.2", "1.1"]
    assert [row.series_instance_uid for row in list_series(node.db, limit=1)] == ["1.3"]
    complete = list_series(node.db, states=[SeriesState.COMPLETE])
    assert [row.series_instance_uid for row in complete] == ["1.2", "1.1"]
    assert list_series(node.db, states=[]) == []


def test_instances_keep_what_was_received(node: Node) -> None:
    sent = node.instance(7)
    record_instances(node.db, [sent], node.now)
    (row,) = instance_paths(node.db, node.series().id)
    names = "study_instance_uid sop_instance_uid sop_class_uid transfer_syntax_uid path sha256 size"
    for name in names.split():
        assert getattr(row, name) == getattr(sent, name)
    assert (row.calling_ae_title, row.address, row.received_at) == ("SCANNER", "192.0.2.7", node.now)
    assert (row.conflict, row.revision) == (False, 1)
