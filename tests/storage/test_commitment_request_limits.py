"""Whoever asks for storage commitment, and however often: the table stays small, and looking into it cheap."""

import tracemalloc

import pytest
from sqlalchemy import insert, select

from storage import commitment_requests
from storage.commitment_requests import (
    CommitmentRequest,
    RequestTaken,
    due_requests,
    postpone_report,
    record_request,
    reported,
    request_instances,
)
from storage.schema import commitment_requests as table
from storage.states import RequestState
from tests.storage.requesters import MINUTE, record, request
from tests.storage.stages import Node

MIB = 1024**2
LARGE = 25_000  # references of the largest request


def end(node: Node, transaction_uid: str) -> None:
    (row,) = (one for one in due_requests(node.db, node.now) if one.transaction_uid == transaction_uid)
    reported(node.db, row, {}, [], node.now)


def rows(node: Node) -> list[tuple[str, str]]:
    """Transaction UID and state of each."""
    with node.db.read() as connection:
        found = connection.execute(select(table.c.transaction_uid, table.c.state).order_by(table.c.id))
        return [(one.transaction_uid, one.state) for one in found]


def test_all_requesters_together_cannot_fill_the_database(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment_requests, "LARGEST_BACKLOG_OF_ALL", 5)  # two instances a request
    asked = [request(f"1.{number}", sender=f"CT{number}") for number in range(3)]
    assert [record(node, one) for one in asked] == [RequestTaken.NEW, RequestTaken.NEW, RequestTaken.TOO_MANY]
    end(node, "1.0")
    assert record(node, asked[2]) == RequestTaken.NEW


def test_one_requester_cannot_have_many_small_requests_wait(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment_requests, "MOST_WAITING", 2)
    assert [record(node, request(f"1.{number}", "1.1")) for number in range(3)][-1] == RequestTaken.TOO_MANY
    assert record(node, request("1.9", "1.1", sender="CT2")) == RequestTaken.NEW


def test_what_has_ended_makes_room_and_what_was_asked_first_goes_first(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_requests, "MOST_ROWS", 3)
    for number in range(3):
        record(node, request(f"1.{number}", sender=f"CT{number}"))
    end(node, "1.0")
    end(node, "1.2")
    assert record(node, request("1.3")) == RequestTaken.NEW
    assert rows(node) == [("1.1", "OPEN"), ("1.2", "REPORTED"), ("1.3", "OPEN")]
    assert record(node, request("1.4")) == RequestTaken.NEW
    assert rows(node) == [("1.1", "OPEN"), ("1.3", "OPEN"), ("1.4", "OPEN")]
    assert record(node, request("1.5")) == RequestTaken.TOO_MANY
    assert len(node.events("commitment-reported")) == 2, "the audit log keeps all"


def test_what_has_ended_keeps_no_instances(node: Node) -> None:
    record(node, request("1.1"))
    record(node, request("1.2"))
    told, given_up = due_requests(node.db, node.now)
    assert request_instances(node.db, told) == [("1.2.840", "1.1"), ("1.2.840", "1.2")]
    reported(node.db, told, {}, [], node.now)
    postpone_report(node.db, given_up, "no connection", MINUTE, 1, node.now)
    with node.db.read() as connection:
        assert list(connection.execute(select(table.c.instances)).scalars()) == [[], []]
    assert record(node, request("1.1")) == RequestTaken.DUPLICATE


def test_a_repetition_is_known_beside_a_duplicate(node: Node) -> None:
    record(node, request())
    assert record(node, request("1.9", "1.3")) == RequestTaken.DUPLICATE
    assert record(node, request()) == RequestTaken.REPEATED
    assert record(node, request("1.9", "1.3")) == RequestTaken.REPEATED
    assert record(node, request(sender="CT2")) == RequestTaken.DUPLICATE


def test_what_is_due_comes_some_at_a_time_and_without_who_is_left_out(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment_requests, "DUE_AT_ONCE", 2)
    for number, sender in enumerate(["CT1", "CT1", "CT2", "CT1", "CT2"]):
        record(node, request(f"1.{number}", sender=sender))
    first = due_requests(node.db, node.now)
    assert [one.transaction_uid for one in first] == ["1.0", "1.1"]
    rest = due_requests(node.db, node.now, first[-1].id, {"CT1"})
    assert [one.transaction_uid for one in rest] == ["1.2", "1.4"]
    assert due_requests(node.db, node.now, rest[-1].id) == []
    everybody = {f"CT{number}" for number in range(40_000)}  # more than a statement has variables
    assert due_requests(node.db, node.now, 0, everybody) == []


def test_neither_asking_nor_looking_reads_the_instances_of_others(node: Node) -> None:
    """Two requests of 25,000 instances have the transaction UID that a third one comes with: 30 MiB as objects."""
    with node.db.transaction() as connection:
        for state in (RequestState.OPEN, RequestState.REPORTED):
            connection.execute(insert(table).values(**large(node, state)))
    tracemalloc.start()
    try:
        asked = CommitmentRequest("1.9", "CT2", "192.0.2.8", (("1.2.840", "1.1"),))
        assert record_request(node.db, asked, node.now) == RequestTaken.DUPLICATE
        assert len(due_requests(node.db, node.now)) == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MIB


def large(node: Node, state: RequestState) -> dict[str, object]:
    return {
        "transaction_uid": "1.9",
        "calling_ae_title": "CT1",
        "address": "192.0.2.7",
        "instances": [["1.2.840.10008.5.1.4.1.1.2", f"1.2.840.113619.2.{number:045d}"] for number in range(LARGE)],
        "state": state,
        "duplicate": False,
        "attempts": 0,
        "received_at": node.now,
        "ended_at": None if state == RequestState.OPEN else node.now,
    }


def test_the_bounds_fit_each_other() -> None:
    """One requester alone cannot use up what all have together."""
    assert commitment_requests.LARGEST_BACKLOG_OF_ALL > commitment_requests.LARGEST_BACKLOG >= LARGE
    assert commitment_requests.MOST_ROWS > commitment_requests.MOST_WAITING
