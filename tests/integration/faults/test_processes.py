"""Real processes of a node that are killed at commit points, hang, or are told to stop in the middle of something."""

import os
from pathlib import Path

import pytest

from storage.states import SeriesState
from tests.support.archive import TestArchive
from tests.support.dicom_network import data_set_of
from tests.support.faults_processes import SabotagedNode, planted_series
from tests.support.head_series import HeadSeries, is_kept_whole, scanner, send, store_some
from tests.support.node import END_WITHIN_S
from tests.support.waiting import wait_until

SMALL = (8, 16, 16)
IN_RECEPTION = "after link @ *receiver/store.py:_spool"
IN_ASSEMBLY = "before commit @ *jobs.py:accept*"
IN_ANALYSIS = "before commit @ *jobs.py:conclude_analysis*"
BEFORE_ANALYSIS = "after commit @ *jobs.py:claim_series < dicom_node/analysis.py:*"
IN_PUBLISHING = "before commit @ *jobs.py:publish*"
IN_DELIVERY = "before commit @ *outbox.py:delivered*"
LIMIT_S = 5.0


@pytest.mark.stress  # a minute; test_killed.py is its like in the short form
def test_each_process_dies_at_a_commit_and_the_worker_hangs_once(
    archive: TestArchive, tmp_path: Path
) -> None:
    plan = {
        IN_RECEPTION: "kill",
        IN_ASSEMBLY: "kill",
        BEFORE_ANALYSIS: "hang",
        IN_ANALYSIS: "kill",
        IN_PUBLISHING: "kill",
        IN_DELIVERY: "kill",
    }
    series = planted_series(tmp_path, "struck", SMALL)
    tables = {"model": {"maximum_series_s": LIMIT_S}}
    with SabotagedNode(tmp_path / "node", plan, [archive.destination], tables) as node:
        with scanner(node.peer, series.files) as association:
            assert store_some(association, series.files) == [], "the receiver died on the first instance"
        send_until_taken(node, series)
        assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        assert sorted(node.struck()) == sorted(plan)
        died = sorted(
            (row.detail["process"], row.detail.get("overtime", False)) for row in node.audit("process-died")
        )
        expected = [("receiver", False), ("router", False), ("router", False), ("router", False)]
        assert died == [*expected, ("worker", False), ("worker", True)]
        check_one_set(node, archive, series)


def test_a_router_that_hangs_is_ended_and_does_its_work_again(archive: TestArchive, tmp_path: Path) -> None:
    series = planted_series(tmp_path, "hung", SMALL)
    tables = {"node": {"maximum_step_s": LIMIT_S}}
    with SabotagedNode(tmp_path / "node", {IN_PUBLISHING: "hang"}, [archive.destination], tables) as node:
        send(node.peer, series.files)
        assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        (died,) = node.audit("process-died")
        assert (died.detail["process"], died.detail["overtime"]) == ("router", True)
        check_one_set(node, archive, series)


@pytest.mark.parametrize("where", [BEFORE_ANALYSIS, IN_PUBLISHING])
def test_sigterm_while_a_process_hangs_is_obeyed_in_time(
    archive: TestArchive, tmp_path: Path, where: str
) -> None:
    """A patch that takes for ever, an encoder that does not come back: given up, counted as no crash, done again."""
    series = planted_series(tmp_path, "stopped", SMALL)
    with SabotagedNode(tmp_path / "node", {where: "hang"}, [archive.destination]) as node:
        send(node.peer, series.files)
        node.wait_until(lambda: node.struck() == [where], END_WITHIN_S, "a process hangs")
        niceness = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in node.pids().items()}
        assert niceness["worker"] > niceness["receiver"], "receiving comes before computing"
        node.stop()
        row = node.series(series.uid)
        assert row is not None and (row.lease_owner, row.crashes, row.attempts) == (None, 0, 0)
        node.start()
        assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        check_one_set(node, archive, series)


def test_sigterm_in_the_middle_of_an_association_and_of_a_delivery(
    archive: TestArchive, tmp_path: Path
) -> None:
    first, second = planted_series(tmp_path, "first", SMALL), planted_series(tmp_path, "the second", SMALL)
    archive.hold_from(1)
    with SabotagedNode(tmp_path / "node", {}, [archive.destination]) as node:
        send(node.peer, first.files)
        archive.wait_until_held(END_WITHIN_S)
        with scanner(node.peer, second.files) as association:
            stored = store_some(association, second.files[:3])
            node.stop()
            assert store_some(association, second.files[3:4]) == []
        archive.let_go()
        kept = {data_set_of(path) for path in (node.storage / "spool").rglob("*.dcm")}
        assert len(stored) == 3 and {data_set_of(file) for file in stored} <= kept
        node.start()
        send(node.peer, second.files)
        for series in (first, second):
            assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        for series in (first, second):  # both have ended: nothing is worked on any more
            check_one_set(node, archive, series)


def send_until_taken(node: SabotagedNode, series: HeadSeries) -> None:
    """As a scanner does: the whole series again, until every instance is confirmed."""
    wait_until(node._answers, END_WITHIN_S, "the receiver is back", context=node.log_tail)
    send(node.peer, series.files)


def check_one_set(node: SabotagedNode, archive: TestArchive, series: HeadSeries) -> None:
    assert is_kept_whole(node.database, node.storage / "spool", series)
    assert sorted(str(one.Modality) for one in archive.objects(series.uid)) == ["SEG", "SR"]
    archive.check_copies_agree()
    node.check_intact()
