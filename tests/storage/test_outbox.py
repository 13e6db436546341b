"""Deliveries: one destination apart from the other, and the series moves on with the last one."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from storage.errors import LostClaim
from storage.jobs import conclude_analysis, publish
from storage.outbox import claim_delivery, delivered, deliveries, give_back_delivery, postpone_delivery
from storage.states import SeriesState
from tests.storage.stages import LEASE, SERIES, Node

DELAY = timedelta(seconds=20)
MOMENT = timedelta(microseconds=1)


def test_a_claim_holds_what_is_to_be_sent(node: Node) -> None:
    node.publish()
    claim = node.claim_delivery("PACS", "router:1:PACS")
    assert (claim.series_instance_uid, claim.study_instance_uid, claim.revision) == (SERIES, "1.2", 1)
    assert (claim.destination, claim.attempts, claim.lease_owner) == ("PACS", 1, "router:1:PACS")
    assert [(one.role, one.path, one.size) for one in claim.objects] == [
        ("seg", f"{SERIES}/1/seg.dcm", 2000),
        ("sr", f"{SERIES}/1/sr.dcm", 2000),
    ]


def test_one_destination_does_not_hold_up_another(node: Node) -> None:
    node.publish()
    node.claim_delivery("PACS")
    assert claim_delivery(node.db, "PACS", "other", node.now, LEASE) is None
    node.claim_delivery("ARCHIVE")
    assert claim_delivery(node.db, "NOWHERE", "other", node.now, LEASE) is None


def test_the_last_delivery_moves_the_series_on(node: Node) -> None:
    node.publish()
    delivered(node.db, node.claim_delivery("PACS"), [{"status": 0}, {"status": 0xB000}], node.now)
    assert node.series().state == SeriesState.DELIVERING
    first = deliveries(node.db, node.series().id)[1]
    assert (first.state, first.statuses, first.ended_at) == (
        "DELIVERED",
        [{"status": 0}, {"status": 45056}],
        node.now,
    )
    node.deliver("ARCHIVE")
    assert node.series().state == SeriesState.DONE
    assert node.event_names()[-3:] == ["delivered", "delivered", "series-done"]
    assert node.events("delivered")[0].detail == {
        "revision": 1,
        "destination": "PACS",
        "objects": ["1.2.3.1.0", "1.2.3.1.1"],
        "statuses": [{"status": 0}, {"status": 45056}],
    }


def test_a_delivered_refusal_ends_as_not_analysed(node: Node) -> None:
    node.refuse()
    claim = node.claim(SeriesState.REFUSED)
    publish(node.db, claim, node.results(claim)[1:], {"PACS": ["sr"]}, node.now)
    node.deliver("PACS")
    row = node.series()
    assert (row.state, row.reason_code) == (SeriesState.NOT_ANALYSED, "gantry-tilt")


def test_postponed_until_the_delay_is_over(node: Node) -> None:
    node.publish()
    postpone_delivery(node.db, node.claim_delivery("PACS"), "connection refused", DELAY, 2, node.now)
    node.now += DELAY - MOMENT
    assert claim_delivery(node.db, "PACS", "me", node.now, LEASE) is None
    node.now += MOMENT
    assert node.claim_delivery("PACS").attempts == 2
    (entry,) = node.events("delivery-postponed")
    assert entry.detail == {
        "revision": 1,
        "destination": "PACS",
        "error": "connection refused",
        "attempts": 1,
        "delay_s": 20.0,
    }


def test_failed_only_when_all_have_ended(node: Node) -> None:
    node.publish()
    postpone_delivery(node.db, node.claim_delivery("PACS"), "connection refused", DELAY, 1, node.now)
    assert node.series().state == SeriesState.DELIVERING
    assert claim_delivery(node.db, "PACS", "me", node.now + 99 * DELAY, LEASE) is None
    node.deliver("ARCHIVE")
    row = node.series()
    assert (row.state, row.failed_from, row.reason_code) == ("FAILED", "DELIVERING", "delivery-failed")
    assert row.reason_detail == "PACS: connection refused"
    assert node.event_names()[-3:] == ["delivery-failed", "delivered", "series-failed"]


def test_given_back_is_free_at_once_and_did_not_count(node: Node) -> None:
    node.publish()
    give_back_delivery(node.db, node.claim_delivery("PACS"), node.now)
    assert node.claim_delivery("PACS", "router:2:PACS").attempts == 1


def test_an_expired_lease_is_taken_over_and_the_first_owner_told(node: Node) -> None:
    node.publish()
    lost = node.claim_delivery("PACS", "router:1:PACS")
    node.now += LEASE
    taken = node.claim_delivery("PACS", "router:2:PACS")
    for move in (
        lambda: postpone_delivery(node.db, lost, "error", DELAY, 5, node.now),
        lambda: postpone_delivery(node.db, lost, "error", DELAY, 1, node.now),
        lambda: give_back_delivery(node.db, lost, node.now),
        lambda: delivered(node.db, lost, [], node.now),
    ):
        with pytest.raises(LostClaim):
            move()
        assert deliveries(node.db, taken.series_id)[1] == taken
    delivered(node.db, taken, [], node.now)


def test_urgent_series_are_sent_first(node: Node) -> None:
    node.publish("1.1", ("PACS",))
    node.queue("1.2", urgent=True)
    conclude_analysis(node.db, node.claim(SeriesState.QUEUED), "x", "a" * 64, 0, {}, node.now)
    claim = node.claim(SeriesState.ANALYSED)
    publish(node.db, claim, node.results(claim), {"PACS": ["seg", "sr"]}, node.now)
    order = [node.claim_delivery("PACS").series_instance_uid for _ in range(2)]
    assert order == ["1.2", "1.1"]


def test_looking_for_work_reads_nothing_that_has_ended(node: Node) -> None:
    """It is done four times a second for each destination, however many deliveries there have been."""
    statements: list[tuple[str, Any]] = []

    def watch(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    event.listen(node.db._engine, "before_cursor_execute", watch)
    assert claim_delivery(node.db, "PACS", "router:1", node.now, LEASE) is None
    ((statement, values),) = [one for one in statements if "deliveries" in one[0]]
    with node.db.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    assert "USING INDEX deliveries_to_claim" in str(plan)
