"""What others ask of this node stays in the database until they were told."""


import pytest

from storage import commitment_requests
from storage.commitment_requests import (
    CommitmentRequest,
    RequestOverview,
    RequestTaken,
    due_requests,
    forget_requests,
    postpone_report,
    reported,
    request_instances,
    request_overview,
)
from storage.states import RequestState
from tests.storage.requesters import MINUTE, record, request
from tests.storage.stages import SERIES, Node


def test_a_request_waits_until_it_is_reported(node: Node) -> None:
    node.complete()
    assert record(node, request()) == RequestTaken.NEW
    (row,) = due_requests(node.db, node.now)
    assert request_instances(node.db, row) == [("1.2.840", "1.1"), ("1.2.840", "1.2")]
    assert not row.duplicate
    reported(node.db, row, {"committed": 2}, [node.series().id], node.now)
    assert due_requests(node.db, node.now) == []
    asked, told = node.events("commitment-asked"), node.events("commitment-reported")
    assert (asked[0].actor, asked[0].detail["instances"]) == ("CT1", 2)
    assert (told[0].series_instance_uid, told[0].detail["requester"]) == (SERIES, "CT1")


def test_reporting_twice_is_noted_once(node: Node) -> None:
    record(node, request())
    (row,) = due_requests(node.db, node.now)
    for _ in range(2):
        reported(node.db, row, {}, [], node.now)
    assert len(node.events("commitment-reported")) == 1


def test_a_report_that_fails_is_tried_again_a_bounded_number_of_times(node: Node) -> None:
    record(node, request())
    (row,) = due_requests(node.db, node.now)
    postpone_report(node.db, row, "no connection", MINUTE, 2, node.now)
    assert due_requests(node.db, node.now) == []
    node.now += MINUTE
    (row,) = due_requests(node.db, node.now)
    assert (row.attempts, row.last_error) == (1, "no connection")
    postpone_report(node.db, row, "no connection", MINUTE, 2, node.now)
    node.now += MINUTE
    assert due_requests(node.db, node.now) == []
    assert request_overview(node.db) == [RequestOverview("CT1", 0, 1, None, "no connection")]
    assert len(node.events("commitment-report-failed")) == 1


def test_the_same_request_again_is_one_request(node: Node) -> None:
    """Its first answer may have been lost."""
    assert record(node, request()) == RequestTaken.NEW
    assert record(node, request()) == RequestTaken.REPEATED
    assert len(due_requests(node.db, node.now)) == 1


@pytest.mark.parametrize(
    "second", [request("1.9", "1.3"), request(sender="CT2")], ids=["other instances", "other requester"]
)
def test_another_request_under_a_known_transaction_is_a_duplicate(node: Node, second: CommitmentRequest) -> None:
    record(node, request())
    assert record(node, second) == RequestTaken.DUPLICATE
    assert [row.duplicate for row in due_requests(node.db, node.now)] == [False, True]


def test_a_transaction_that_was_reported_is_not_opened_again(node: Node) -> None:
    record(node, request())
    (row,) = due_requests(node.db, node.now)
    reported(node.db, row, {}, [], node.now)
    assert record(node, request()) == RequestTaken.DUPLICATE


def test_one_requester_cannot_fill_the_database(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment_requests, "LARGEST_BACKLOG", 5)  # two instances a request
    assert [record(node, request(f"1.{number}")) for number in range(3)] == [
        RequestTaken.NEW,
        RequestTaken.NEW,
        RequestTaken.TOO_MANY,
    ]
    assert record(node, request("1.7", sender="CT2")) == RequestTaken.NEW
    (ct1, ct2) = request_overview(node.db)
    assert (ct1.waiting, ct2.waiting) == (2, 1)
    assert ct1.oldest_since == node.now
    assert {row.state for row in due_requests(node.db, node.now)} == {RequestState.OPEN}


def test_what_has_ended_is_forgotten_in_the_end_and_what_waits_never(node: Node) -> None:
    for number in (1, 2, 3):
        record(node, request(f"1.{number}", sender=f"CT{number}"))
    told, given_up, _ = due_requests(node.db, node.now)
    reported(node.db, told, {}, [], node.now)
    postpone_report(node.db, given_up, "no connection", MINUTE, 1, node.now + MINUTE)
    assert forget_requests(node.db, node.now) == 0
    assert forget_requests(node.db, node.now + MINUTE) == 1
    assert [one.calling_ae_title for one in request_overview(node.db)] == ["CT2", "CT3"]
    assert forget_requests(node.db, node.now + 2 * MINUTE) == 1
    assert [one.calling_ae_title for one in request_overview(node.db)] == ["CT3"]
    assert len(node.events("commitment-reported")) == len(node.events("commitment-report-failed")) == 1
