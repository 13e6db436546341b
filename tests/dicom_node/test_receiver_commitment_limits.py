"""The receiver and storage commitment: a full disk, and requesters that have much waiting."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.clock import system_clock
from dicom_node.receiver import commitment_reporter
from storage import commitment_requests
from storage.commitment_requests import (
    CommitmentRequest,
    RequestRow,
    record_request,
    reported,
    request_overview,
)
from storage.database import open_database
from tests.support.commitment_scanner import Scanner, ask, ct, events, listening
from tests.support.committing_archive import Asked, committing_archive
from tests.support.dicom_network import DEADLINE_S, Node, make_settings, running_node
from tests.support.ports import free_port
from tests.support.waiting import wait_until

FULL = {"minimum_free_gib": 100000.0}


def accepted(node: Node) -> dict[str, object]:
    """The audit row of the only association."""
    node.wait_until_written()
    (row,) = events(node, "association-accepted")
    return row.detail


@pytest.mark.parametrize("changes", [{}, {"action_type": 2}], ids=["a request", "one that makes no sense"])
def test_below_the_free_space_floor_nothing_of_a_request_is_written_down(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """But how many there were, once for the association."""
    with running_node(tmp_path, receiver=FULL) as node:
        with Scanner(node).association() as association:
            for number in range(3):
                assert ask(association, [ct(1)], f"1.2.{number}", **changes) == 0x0213
        detail = accepted(node)
        assert (detail["commitment_requests"], detail["commitment_refused_below_free_space"]) == (3, 3)
        assert request_overview(node.db) == []
        assert events(node, "commitment-asked") == events(node, "commitment-request-refused") == []


def test_below_the_free_space_floor_only_destinations_may_report(tmp_path: Path) -> None:
    """What they say ends deliveries, after which images may go; of what nobody was asked there is only a count."""
    pacs = {"name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": free_port()}
    unknown = Asked("2.25.99", [ct(1)])
    with committing_archive() as archive, running_node(tmp_path, receiver=FULL, destination=[pacs]) as node:
        assert archive.report(node.receiver.port, unknown, calling="STRANGER") == 0x0213
        assert archive.report(node.receiver.port, unknown) == 0x0110
        node.wait_until_written()
        counts = [one.detail["commitment_refused_below_free_space"] for one in events(node, "association-accepted")]
        assert counts == [1, 1]
        assert events(node, "commitment-report-ignored") == []


def test_more_requests_than_are_read_at_once_hold_up_no_other_requester(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five requests of one that does not answer, one is tried before the other requester's turn comes."""
    monkeypatch.setattr(commitment_requests, "DUE_AT_ONCE", 2)
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    tried: list[str] = []
    peer_of = commitment_reporter.Reporter._find_peer

    def note_peer(self: commitment_reporter.Reporter, ae_title: str) -> object:
        tried.append(ae_title)
        return peer_of(self, ae_title)

    monkeypatch.setattr(commitment_reporter.Reporter, "_find_peer", note_peer)
    requesters = [f"DEAD@127.0.0.1:{free_port()}", f"CT1@127.0.0.1:{(port := free_port())}"]
    with closing(open_database(make_settings(tmp_path).storage.folder / "node.sqlite3")) as db:
        for number in range(5):
            record_request(db, asked(f"1.2.{number}", "DEAD"), system_clock())
        record_request(db, asked("1.2.9", "CT1"), system_clock())
    with running_node(tmp_path, commitment={"requesters": requesters}) as node, listening(Scanner(node), port):
        wait_until(lambda: len(tried) > 1, DEADLINE_S, "two requests are looked at")
    assert tried[:2] == ["DEAD", "CT1"]


def test_who_asks_without_end_holds_up_no_second_try_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each report brings the next request: a round ends with what was there when it began."""
    monkeypatch.setattr(commitment_reporter, "LOOK_S", 0.02)
    tried, again, numbers = [], threading.Event(), iter(range(1000, 1_000_000))

    def report(self: commitment_reporter.Reporter, row: RequestRow) -> bool:
        now = self._clock()
        if row.calling_ae_title == "BUSY":
            record_request(self._db, asked(f"1.2.{next(numbers)}", "BUSY"), now)
            reported(self._db, row, {}, [], now)
            return True
        tried.append(row.transaction_uid)
        if len(tried) > 1:
            again.set()
        return False

    monkeypatch.setattr(commitment_reporter.Reporter, "_report", report)
    with running_node(tmp_path) as node:
        for number, sender in enumerate(["DEAD", "BUSY"]):
            record_request(node.db, asked(f"1.2.{number}", sender), system_clock())
        assert again.wait(DEADLINE_S / 2)


def asked(transaction_uid: str, sender: str) -> CommitmentRequest:
    return CommitmentRequest(transaction_uid, sender, "192.0.2.7", (ct(1),))
