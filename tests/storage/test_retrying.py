"""A retry leads back to where the series failed, and nowhere else."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from storage.jobs import fail, retry
from storage.outbox import deliveries, postpone_delivery
from storage.states import DeliveryState, SeriesState
from tests.storage.stages import Node


def fail_delivery(node: Node, destination: str) -> None:
    claim = node.claim_delivery(destination)
    postpone_delivery(node.db, claim, "connection refused", timedelta(seconds=1), 1, node.now)


@pytest.mark.parametrize(
    ("bring_on", "state"),
    [
        (Node.complete, "COMPLETE"),
        (Node.queue, "QUEUED"),
        (Node.analyse, "ANALYSED"),
        (Node.refuse, "REFUSED"),
    ],
)
def test_back_to_where_it_failed(node: Node, bring_on: Callable[[Node], None], state: str) -> None:
    bring_on(node)
    before = node.series()
    fail(node.db, node.claim(SeriesState(state)), "code", "detail", node.now)
    assert retry(node.db, "1.2.3", "admin", node.now) == ["1.2.3"]
    assert node.series() == before
    (entry,) = node.events("retried")
    assert (entry.actor, entry.detail["state"]) == ("admin", state)
    node.claim(SeriesState(state))


def test_a_refusal_keeps_its_reason_through_failure_and_retry(node: Node) -> None:
    node.refuse()
    fail(node.db, node.claim(SeriesState.REFUSED), "encoding", "no header could be read", node.now)
    assert (node.series().reason_code, node.series().refusal_code) == ("encoding", "gantry-tilt")
    retry(node.db, None, "admin", node.now)
    assert (node.series().reason_code, node.series().reason_detail) == ("gantry-tilt", "tilted by 12 degrees")


def test_failed_deliveries_are_sent_again_and_the_others_are_not(node: Node) -> None:
    node.publish()
    node.deliver("ARCHIVE")
    fail_delivery(node, "PACS")
    assert node.series().state == SeriesState.FAILED
    assert retry(node.db, "1.2.3", "admin", node.now) == ["1.2.3"]
    assert node.series().state == SeriesState.DELIVERING
    assert [(one.destination, one.state, one.attempts) for one in deliveries(node.db, node.series().id)] == [
        ("ARCHIVE", "DELIVERED", 1),
        ("PACS", "PENDING", 0),
    ]
    node.deliver("PACS")
    assert node.series().state == SeriesState.DONE


def test_a_failed_delivery_need_not_wait_for_the_others_to_end(node: Node) -> None:
    node.publish()
    fail_delivery(node, "PACS")
    assert node.series().state == SeriesState.DELIVERING
    assert retry(node.db, None, "admin", node.now) == ["1.2.3"]
    assert {one.state for one in deliveries(node.db, node.series().id)} == {DeliveryState.PENDING}


def test_all_that_failed_and_only_those(node: Node) -> None:
    for uid in ("1.1", "1.2"):
        node.queue(uid)
        fail(node.db, node.claim(SeriesState.QUEUED), "code", "detail", node.now)
    node.queue("1.3")
    assert retry(node.db, None, "admin", node.now) == ["1.1", "1.2"]
    assert retry(node.db, None, "admin", node.now) == []
    assert retry(node.db, "1.3", "admin", node.now) == []
    assert retry(node.db, "unknown", "admin", node.now) == []


def test_what_an_earlier_revision_failed_to_deliver_stays_history(node: Node) -> None:
    node.publish()
    fail_delivery(node, "PACS")
    node.receive(3)
    node.now += timedelta(seconds=1)
    node.publish()
    assert retry(node.db, None, "admin", node.now) == []
    states = [(one.revision, one.state) for one in deliveries(node.db, node.series().id)]
    assert states == [(1, "WITHDRAWN"), (1, "FAILED"), (2, "PENDING"), (2, "PENDING")]
