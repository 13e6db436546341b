"""The receiver's reports of storage commitment: over which association, at which address, and until they are taken."""

import threading
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from dicom_node.receiver import commitment_reporter
from storage.commitment_requests import request_overview
from tests.support.commitment_scanner import Scanner, ask, ct, ended, events, listening, send
from tests.support.dicom_network import DEADLINE_S, Node, running_node
from tests.support.outbox import SERIES
from tests.support.ports import free_port
from tests.support.waiting import wait_until


def told_in_vain(node: Node) -> str:
    return "; ".join(row.detail["error"] for row in events(node, "commitment-report-postponed"))


def test_a_scanner_that_goes_on_sending_is_told_over_a_new_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take a report that comes in between for the answer to its C-STORE."""
    port, sent_more = free_port(), threading.Event()
    judge = commitment_reporter.judge_instances

    def judge_later(*arguments: object) -> object:
        assert sent_more.wait(DEADLINE_S)
        return judge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(commitment_reporter, "judge_instances", judge_later)
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    with running_node(tmp_path, commitment={"requesters": [f"CT1@127.0.0.1:{port}"]}) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association() as association:
                send(association, 1)
                assert ask(association, [ct(1)]) == 0x0000
                send(association, 2)
                sent_more.set()
                send(association, 3)
            kind, kept, _ = scanner.report()
            told = ended(node)
    assert (kind, list(kept)) == (1, [f"{SERIES}.1"])
    assert told.detail["over"] == f"a new association to 127.0.0.1:{port}"


def test_a_destination_that_asks_is_told_at_its_address(tmp_path: Path) -> None:
    port = free_port()
    pacs = {"name": "pacs", "ae_title": "CT1", "host": "127.0.0.1", "port": port}
    with running_node(tmp_path, destination=[pacs]) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association() as association:
                assert ask(association, [ct(1)]) == 0x0000
            assert scanner.report()[2] == {f"{SERIES}.1": 0x0112}
            ended(node)


def test_a_report_is_tried_again_until_the_requester_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    port = free_port()
    tables: dict[str, dict[str, object]] = {
        "commitment": {"requesters": [f"CT1@127.0.0.1:{port}"]},
        "delivery": {"first_delay_s": 0.05, "maximum_delay_s": 0.05},
    }
    with running_node(tmp_path, **tables) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            send(association, 1)
            ask(association, [ct(1)])
        ended(node, "commitment-report-postponed")  # nobody listens
        with listening(scanner, port):
            scanner.report()
            wait_until(lambda: "0x0110" in told_in_vain(node), DEADLINE_S, "the refusal is noted")
            scanner.answer = 0x0000
            ended(node)
        assert "status 0x0110" in told_in_vain(node)
        assert request_overview(node.db) == []


def test_a_requester_without_an_address_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    rules = {"first_delay_s": 0.01, "maximum_delay_s": 0.01, "maximum_attempts": 2}
    with running_node(tmp_path, delivery=rules) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            ask(association, [ct(1)])
            scanner.report()  # which the scanner refuses
        failed = ended(node, "commitment-report-failed")
    assert "commitment.requesters" in failed.detail["error"]


def test_a_requester_that_does_not_answer_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three requests of it, one is tried before the other requester's turn comes."""
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    asked, tried = threading.Event(), []
    due, peer_of = commitment_reporter.due_requests, commitment_reporter.Reporter._find_peer

    def due_when_all_asked(*arguments: object) -> object:
        return due(*arguments) if asked.is_set() else []  # type: ignore[arg-type]

    def note_peer(self: commitment_reporter.Reporter, ae_title: str) -> object:
        tried.append(ae_title)
        return peer_of(self, ae_title)

    monkeypatch.setattr(commitment_reporter, "due_requests", due_when_all_asked)
    monkeypatch.setattr(commitment_reporter.Reporter, "_find_peer", note_peer)
    requesters = [f"DEAD@127.0.0.1:{free_port()}", f"CT1@127.0.0.1:{(port := free_port())}"]
    with running_node(tmp_path, commitment={"requesters": requesters}) as node:
        scanner = Scanner(node)
        with listening(scanner, port):
            with scanner.association("DEAD") as association:
                for number in (1, 2, 3):
                    ask(association, [ct(1)], f"1.2.{number}")
            with scanner.association("CT1") as association:
                ask(association, [ct(1)], "1.2.4")
            node.wait_until_written()
            asked.set()
            ended(node)
    assert tried[:2] == ["DEAD", "CT1"]


def test_what_was_asked_before_a_restart_is_reported_after_it(tmp_path: Path) -> None:
    port = free_port()
    requesters = {"requesters": [f"CT1@127.0.0.1:{port}"]}
    rules = {"first_delay_s": 0.1, "maximum_delay_s": 0.1}
    with running_node(tmp_path, commitment=requesters, delivery=rules) as node:
        scanner = Scanner(node, answer=0x0110)
        with scanner.association() as association:
            send(association, 1)
            ask(association, [ct(1)])
            scanner.report()  # which the scanner refuses
        ended(node, "commitment-report-postponed")
    scanner.answer = 0x0000
    with listening(scanner, port), running_node(tmp_path, commitment=requesters, delivery=rules) as node:
        assert scanner.report(2)[1] == {f"{SERIES}.1": CTImageStorage}
        ended(node)
