"""Claims, leases and the moves of a series: each with its audit row, or not at all."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from storage.database import Database
from storage.errors import LostClaim, StorageError
from storage.jobs import (
    accept,
    claim_series,
    conclude_analysis,
    fail,
    give_back,
    postpone,
    publish,
    refuse,
    renew,
)
from storage.outbox import deliveries
from storage.rows import SeriesRow
from storage.states import IllegalMove, SeriesState
from tests.storage.stages import LEASE, SERIES, START, Node

MOMENT = timedelta(microseconds=1)
DELAY = timedelta(seconds=20)


def claim_queued(node: Node, owner: str = "worker:2") -> SeriesRow | None:
    return claim_series(node.db, SeriesState.QUEUED, owner, node.now, LEASE)


def test_a_claim_is_a_lease_and_counts_as_an_attempt(node: Node) -> None:
    node.queue()
    claim = node.claim(SeriesState.QUEUED, "worker:1")
    assert (claim.series_instance_uid, claim.state) == (SERIES, SeriesState.QUEUED)
    assert (claim.lease_owner, claim.lease_expires_at, claim.attempts) == ("worker:1", node.now + LEASE, 1)
    assert node.series() == claim
    assert claim_queued(node) is None, "it is taken"


def test_nothing_to_claim(node: Node) -> None:
    assert claim_queued(node) is None
    node.complete()
    assert claim_queued(node) is None


@pytest.mark.parametrize("state", ["RECEIVING", "DELIVERING", "DONE", "FAILED"])
def test_only_states_that_are_worked_on_can_be_claimed(node: Node, state: str) -> None:
    with pytest.raises(StorageError, match="not worked on"):
        claim_series(node.db, SeriesState(state), "me", node.now, LEASE)


def test_urgent_first_then_the_one_that_waited_longest(node: Node) -> None:
    for uid, urgent in (("1.1", False), ("1.2", False), ("1.3", True), ("1.4", True)):
        node.queue(uid, urgent)
        node.now += timedelta(seconds=1)
    claimed = [node.claim(SeriesState.QUEUED).series_instance_uid for _ in range(4)]
    assert claimed == ["1.3", "1.4", "1.1", "1.2"]


def test_an_expired_lease_is_taken_over(node: Node) -> None:
    node.queue()
    lost = node.claim(SeriesState.QUEUED, "worker:1")
    node.now += LEASE - MOMENT
    assert claim_queued(node) is None
    node.now += MOMENT
    taken = node.claim(SeriesState.QUEUED, "worker:2")
    assert (taken.lease_owner, taken.attempts) == ("worker:2", 2)
    assert node.events("lease-taken-over")[0].detail["from"] == "worker:1"
    with pytest.raises(LostClaim):
        renew(node.db, lost, node.now, LEASE)
    assert node.series() == taken


def test_a_renewed_lease_lasts_from_the_renewal(node: Node) -> None:
    node.queue()
    claim = node.claim(SeriesState.QUEUED, "worker:1")
    node.now += LEASE / 2
    renew(node.db, claim, node.now, LEASE)
    node.now += LEASE - MOMENT
    assert claim_queued(node) is None
    renew(node.db, claim, node.now, LEASE)  # with the claim as it was first given


def test_given_back_is_free_at_once_and_did_not_count(node: Node) -> None:
    node.queue()
    give_back(node.db, node.claim(SeriesState.QUEUED), node.now)
    row = node.series()
    assert (row.lease_owner, row.attempts, row.state) == (None, 0, SeriesState.QUEUED)
    assert node.claim(SeriesState.QUEUED, "worker:2").attempts == 1


def test_accepted(node: Node) -> None:
    node.complete()
    accept(node.db, node.claim(SeriesState.COMPLETE, "router:1"), True, {"slices": 2}, node.now)
    row = node.series()
    assert (row.state, row.urgent, row.attempts, row.lease_owner) == (SeriesState.QUEUED, True, 0, None)
    (entry,) = node.events("series-accepted")
    assert (entry.actor, entry.detail) == ("router:1", {"revision": 1, "urgent": True, "slices": 2})


@pytest.mark.parametrize(("bring_on", "state"), [(Node.complete, "COMPLETE"), (Node.queue, "QUEUED")])
def test_refused(node: Node, bring_on: Callable[[Node], None], state: str) -> None:
    bring_on(node)
    refuse(node.db, node.claim(SeriesState(state)), "no-contrast", "0.1 ml above 150 HU", node.now)
    row = node.series()
    assert (row.state, row.outcome, row.concluded_at) == (SeriesState.REFUSED, "refused", node.now)
    assert (row.reason_code, row.reason_detail) == ("no-contrast", "0.1 ml above 150 HU")
    assert node.events("series-refused")[0].detail["reason"] == "no-contrast"


def test_analysed(node: Node) -> None:
    node.analyse()
    row = node.series()
    assert (row.state, row.outcome, row.concluded_at) == (SeriesState.ANALYSED, "analysed", node.now)
    assert (row.findings_path, row.weights_sha256, row.lesion_count) == (f"{SERIES}/1.npz", "a" * 64, 2)
    (entry,) = node.events("series-analysed")
    assert entry.detail == {"revision": 1, "weights_sha256": "a" * 64, "lesions": 2, "seconds": 1.5}


def test_published(node: Node) -> None:
    node.publish()
    row = node.series()
    assert row.state == SeriesState.DELIVERING
    waiting = deliveries(node.db, row.id)
    assert [(one.destination, one.state, one.attempts) for one in waiting] == [
        ("ARCHIVE", "PENDING", 0),
        ("PACS", "PENDING", 0),
    ]
    assert [one.role for one in waiting[0].objects] == ["seg", "sr"]
    (entry,) = node.events("results-published")
    assert entry.detail == {
        "revision": 1,
        "results": [
            {"role": "seg", "sop_instance_uid": "1.2.3.1.0"},
            {"role": "sr", "sop_instance_uid": "1.2.3.1.1"},
        ],
        "destinations": {"PACS": ["seg", "sr"], "ARCHIVE": ["seg", "sr"]},
    }


@pytest.mark.parametrize(
    ("bring_on", "claimed", "ended", "event"),
    [
        (Node.analyse, "ANALYSED", "DONE", "series-done"),
        (Node.refuse, "REFUSED", "NOT_ANALYSED", "series-not-analysed"),
    ],
)
@pytest.mark.parametrize("what", ["no results", "no destinations"])
def test_published_with_nothing_to_send(
    node: Node, bring_on: Callable[[Node], None], claimed: str, ended: str, event: str, what: str
) -> None:
    bring_on(node)
    claim = node.claim(SeriesState(claimed))
    results = [] if what == "no results" else node.results(claim)
    publish(node.db, claim, results, {"PACS": []} if what == "no results" else {}, node.now)
    assert node.series().state == ended
    assert node.event_names()[-2:] == ["results-published", event]
    assert deliveries(node.db, claim.id) == []


def test_postponed_until_the_delay_is_over(node: Node) -> None:
    node.queue()
    postpone(node.db, node.claim(SeriesState.QUEUED), "out of memory", DELAY, 3, node.now)
    row = node.series()
    assert (row.state, row.attempts, row.last_error) == (SeriesState.QUEUED, 1, "out of memory")
    assert row.not_before == node.now + DELAY
    node.now += DELAY - MOMENT
    assert claim_queued(node) is None
    node.now += MOMENT
    assert node.claim(SeriesState.QUEUED).attempts == 2
    (entry,) = node.events("series-postponed")
    assert entry.detail == {"revision": 1, "error": "out of memory", "attempts": 1, "delay_s": 20.0}


def test_failed_when_the_attempts_are_used_up(node: Node) -> None:
    node.queue()
    for _ in range(3):
        postpone(node.db, node.claim(SeriesState.QUEUED), "out of memory", DELAY, 3, node.now)
        node.now += DELAY
    row = node.series()
    assert (row.state, row.failed_from, row.attempts) == (SeriesState.FAILED, SeriesState.QUEUED, 3)
    assert (row.reason_code, row.reason_detail) == ("attempts-used-up", "out of memory")
    assert row.last_error == "out of memory"
    assert (row.lease_owner, row.not_before) == (None, None)
    assert node.event_names()[-3:] == ["series-postponed", "series-postponed", "series-failed"]


@pytest.mark.parametrize(
    ("bring_on", "state"),
    [
        (Node.complete, "COMPLETE"),
        (Node.queue, "QUEUED"),
        (Node.analyse, "ANALYSED"),
        (Node.refuse, "REFUSED"),
    ],
)
def test_failed_at_once(node: Node, bring_on: Callable[[Node], None], state: str) -> None:
    bring_on(node)
    fail(node.db, node.claim(SeriesState(state)), "weights-missing", "no such file", node.now)
    row = node.series()
    assert (row.state, row.failed_from, row.reason_code) == (SeriesState.FAILED, state, "weights-missing")
    assert node.events("series-failed")[0].detail["from"] == state


MOVES: dict[str, Callable[[Database, SeriesRow], None]] = {
    "renew": lambda db, claim: renew(db, claim, START, LEASE),
    "give_back": lambda db, claim: give_back(db, claim, START),
    "refuse": lambda db, claim: refuse(db, claim, "code", "detail", START),
    "conclude": lambda db, claim: conclude_analysis(db, claim, "x", "a" * 64, 0, {}, START),
    "postpone": lambda db, claim: postpone(db, claim, "error", DELAY, 3, START),
    "use up": lambda db, claim: postpone(db, claim, "error", DELAY, 1, START),
    "fail": lambda db, claim: fail(db, claim, "code", "detail", START),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("meanwhile", ["reopened", "taken over", "given back", "moved on"])
def test_a_lost_claim_changes_nothing(node: Node, move: str, meanwhile: str) -> None:
    node.queue()
    claim = node.claim(SeriesState.QUEUED, "worker:1")
    if meanwhile == "reopened":
        node.receive(3)
    elif meanwhile == "taken over":
        node.now += LEASE
        node.claim(SeriesState.QUEUED, "worker:2")
    elif meanwhile == "given back":
        give_back(node.db, claim, node.now)
    else:
        conclude_analysis(node.db, claim, "x", "a" * 64, 0, {}, node.now)
    before, events = node.series(), node.event_names()
    with pytest.raises(LostClaim):
        MOVES[move](node.db, claim)
    assert node.series() == before
    assert node.event_names() == events


def test_the_same_owner_and_state_in_the_next_revision_is_another_claim(node: Node) -> None:
    node.queue()
    old = node.claim(SeriesState.QUEUED, "worker:1")
    node.receive(3)
    node.now += timedelta(seconds=1)
    node.queue()
    new = node.claim(SeriesState.QUEUED, "worker:1")
    with pytest.raises(LostClaim):
        conclude_analysis(node.db, old, "x", "a" * 64, 0, {}, node.now)
    conclude_analysis(node.db, new, "x", "a" * 64, 0, {}, node.now)


def test_results_of_a_reopened_series_are_not_published(node: Node) -> None:
    node.analyse()
    claim = node.claim(SeriesState.ANALYSED)
    node.receive(3)
    with pytest.raises(LostClaim):
        publish(node.db, claim, node.results(claim), {"PACS": ["seg", "sr"]}, node.now)
    assert deliveries(node.db, claim.id) == []
    assert node.events("results-published") == []


def test_a_move_that_the_table_does_not_have_changes_nothing(node: Node) -> None:
    node.complete()
    claim = node.claim(SeriesState.COMPLETE)
    with pytest.raises(IllegalMove):
        conclude_analysis(node.db, claim, "x", "a" * 64, 0, {}, node.now)
    assert node.series() == claim
