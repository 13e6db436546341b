"""A report that hangs is noticed, and the receiver's process ends for it, to start afresh."""

import threading
from pathlib import Path

import pytest

from dicom_node import daemon
from dicom_node.errors import NodeError
from dicom_node.receiver import commitment_reporter, server
from dicom_node.receiver.commitment_reporter import Reporter
from tests.support.children import left_by_a_connection
from tests.support.commitment_scanner import Scanner, ask, ct, ended
from tests.support.dicom_network import DEADLINE_S, make_settings, running_node
from tests.support.pipeline import open_pipeline
from tests.support.waiting import wait_until


@pytest.mark.parametrize("where", ["_tell", "_open_association"])
def test_a_peer_that_holds_a_report_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """It drips, say: no timeout of the network comes to its end."""
    let_go, original = threading.Event(), getattr(Reporter, where)

    def hang(*arguments: object) -> object:
        assert let_go.wait(DEADLINE_S)
        return original(*arguments)

    monkeypatch.setattr(Reporter, where, hang)
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            ask(association, [ct(1)])
            assert node.receiver.alive, "within its time it may take its time"
            monkeypatch.setattr(commitment_reporter, "TIMEOUTS_OF_A_REPORT", 0)
            wait_until(lambda: not node.receiver.alive, DEADLINE_S, "the hanging report is noticed")
            let_go.set()
            scanner.report()
        ended(node)
        wait_until(lambda: node.receiver.alive, DEADLINE_S, "what has ended hangs no more")


def test_a_disk_that_holds_a_report_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, judge = threading.Event(), commitment_reporter.judge_instances

    def hang(*arguments: object) -> object:
        assert let_go.wait(DEADLINE_S)
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(commitment_reporter, "judge_instances", hang)
    with running_node(tmp_path, node={"maximum_step_s": 0.05}) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            ask(association, [ct(1)])
            wait_until(lambda: not node.receiver.alive, DEADLINE_S, "the hanging report is noticed")
            let_go.set()
            scanner.report()


def test_the_bound_follows_the_timeouts(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "ae_title": "P", "host": "127.0.0.1", "port": 104, "dimse_timeout_s": 300.0}
    assert commitment_reporter._telling_limit_s(make_settings(tmp_path)) == 10 * 120.0
    assert commitment_reporter._telling_limit_s(make_settings(tmp_path, destination=[pacs])) == 10 * 300.0


def test_a_receiver_whose_reporter_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reporter, "_hangs", True)
    monkeypatch.setattr(server, "LOOK_AFTER_S", 0.01)
    with pytest.raises(NodeError, match="one of its threads"):
        server.run_receiver(make_settings(tmp_path), threading.Event())


def test_its_process_ends_although_a_connection_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(daemon.PROCESSES, "receiver", left_by_a_connection)
    with open_pipeline(tmp_path / "node") as pipeline:
        child = daemon._Child("receiver", pipeline.settings)
        child.start()
        child.process.join(60.0)
        try:
            assert child.process.exitcode == daemon.RECEIVER_FAILED_EXIT_STATUS
        finally:
            child.process.kill()
