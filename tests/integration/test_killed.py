"""kill -9 of the node and of each of its processes, in the middle of everything they do."""

from collections.abc import Sequence
from pathlib import Path

from storage.series import instance_paths
from storage.states import SeriesState
from tests.integration.conftest import Undisturbed
from tests.support.archive import TestArchive
from tests.support.dicom_network import data_set_of
from tests.support.head_series import HeadSeries, make_head_series, scanner, send, store_some
from tests.support.node import END_WITHIN_S, NodeUnderTest

HALF = 32
CRASHES_UNTIL_SET_ASIDE = 3


def test_the_whole_node_is_killed_in_every_phase(
    node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed
) -> None:
    """Receiving, analysing, publishing, delivering: each time the next start takes up the work."""
    series = undisturbed.series
    with scanner(node.peer, series.files) as association:
        stored = store_some(association, series.files[:HALF])
        node.kill()
    assert len(stored) == HALF

    node.start()
    check_kept(node, series, stored)
    send(node.peer, series.files)
    node.wait_until_analysing(series.uid, patches=1)
    node.kill()

    node.start()
    node.wait_until_claimed(series.uid, SeriesState.ANALYSED)
    node.kill()

    archive.hold_from(2)
    node.start()
    archive.wait_until_held(END_WITHIN_S)
    node.kill()
    archive.let_go()

    node.start()
    check_one_set_of_results(node, archive, undisturbed)


def test_each_process_is_killed_in_the_middle_of_its_work(
    node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed
) -> None:
    """The supervisor starts the process again; the others never notice."""
    series = undisturbed.series
    with scanner(node.peer, series.files) as association:
        stored = store_some(association, series.files[:HALF])
        receiver = node.kill_process("receiver")
        lost = store_some(association, series.files[HALF:])
    assert (len(stored), lost) == (HALF, [])
    node.wait_until_restarted("receiver", receiver)
    check_kept(node, series, stored)
    send(node.peer, series.files)

    node.wait_until_analysing(series.uid, patches=1)
    node.kill_process("worker")

    node.wait_until_claimed(series.uid, SeriesState.ANALYSED)
    archive.hold_from(2)
    node.kill_process("router")

    archive.wait_until_held(END_WITHIN_S)
    node.kill_process("router")
    archive.let_go()
    check_one_set_of_results(node, archive, undisturbed)
    died = [row.detail["process"] for row in node.audit("process-died")]
    assert died == ["receiver", "worker", "router", "router"]


def test_a_series_that_kills_the_worker_three_times_is_set_aside_until_retry(
    node: NodeUnderTest, archive: TestArchive, tmp_path: Path
) -> None:
    series = make_head_series(tmp_path, "deadly")
    send(node.peer, series.files)
    for crash in range(1, CRASHES_UNTIL_SET_ASIDE + 1):
        node.wait_until_analysing(series.uid)
        node.kill_process("worker")
        wait_for_deaths(node, crash)
    row = node.wait_for_state(series.uid, SeriesState.FAILED)
    assert (row.reason_code, row.failed_from) == ("worker-crashed", SeriesState.QUEUED)
    assert archive.objects() == []

    retried = node.command("retry", series.uid)
    assert retried.returncode == 0, retried.stderr
    assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
    assert sorted(one.Modality for one in archive.objects()) == ["SEG", "SR"]
    node.check_intact()


def wait_for_deaths(node: NodeUnderTest, number: int) -> None:
    """The supervisor has noted so many deaths."""
    node.wait_until(
        lambda: len(node.audit("process-died")) == number, END_WITHIN_S, f"{number} deaths are noted"
    )


def check_kept(node: NodeUnderTest, series: HeadSeries, stored: Sequence[Path]) -> None:
    """Every instance that was answered Success has a row, and its file holds the data set that was sent."""
    row = node.series(series.uid)
    assert row is not None
    spool = node.storage / "spool"
    kept = {data_set_of(spool / instance.path) for instance in instance_paths(node.database, row.id)}
    assert {data_set_of(file) for file in stored} <= kept


def check_one_set_of_results(node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed) -> None:
    """The series is done; the archive has its results under the UIDs of an undisturbed run, and nothing else."""
    row = node.wait_for_state(undisturbed.series.uid, SeriesState.DONE, SeriesState.FAILED)
    assert row.state == SeriesState.DONE, node.log_tail()
    assert {one.Modality: one.SOPInstanceUID for one in archive.objects()} == undisturbed.result_uids
    archive.check_copies_agree()
    node.check_intact()
