"""A destination that takes something again is back: what waits for it goes at once, and nothing else does."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from storage.outbox import deliveries, postpone_delivery, stored
from storage.return_of_destination import end_waiting
from storage.rows import DeliveryRow
from tests.storage.stages import Node

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def fail(node: Node, destination: str = "PACS") -> DeliveryRow:
    """One try in vain; the next is due in an hour."""
    claim = node.claim_delivery(destination)
    postpone_delivery(node.db, claim, "no connection", HOUR, 48, node.now)
    node.now += MINUTE
    return claim


def waiting(node: Node, *names: str) -> list[bool]:
    """Whether the PACS's delivery of each series waits for a time."""
    return [to(node, "PACS", name).not_before is not None for name in names]


def to(node: Node, destination: str, name: str) -> DeliveryRow:
    return next(one for one in deliveries(node.db, node.series(name).id) if one.destination == destination)


@pytest.mark.parametrize("done", ["delivered", "stored"])
def test_after_an_outage_a_new_delivery_brings_all_others_forward(node: Node, done: str) -> None:
    for uid in ("1.1", "1.2"):
        node.publish(uid)
        fail(node)
    fail(node, "ARCHIVE")
    node.publish("1.3", ("PACS",))
    if done == "stored":
        stored(node.db, node.claim_delivery("PACS"), [], node.now)
    else:
        node.deliver("PACS")
    assert waiting(node, "1.1", "1.2") == [False, False]
    assert to(node, "ARCHIVE", "1.1").not_before is not None, "another destination's success says nothing of this one"
    assert node.events(done)[-1].detail["brought_forward"] == 2
    assert {node.claim_delivery("PACS").attempts for _ in range(2)} == {2}


def test_what_is_refused_while_others_are_taken_keeps_its_delays(node: Node) -> None:
    """Once it may have been an outage; then it is known that it was none, and the tries are not used up."""
    node.publish("1.1", ("PACS",))
    fail(node)
    node.publish("1.2", ("PACS",))
    node.deliver("PACS")
    assert waiting(node, "1.1") == [False]
    node.now += MINUTE
    assert fail(node).series_instance_uid == "1.1"
    for uid in ("1.3", "1.4"):
        node.publish(uid, ("PACS",))
        node.deliver("PACS")
        node.now += MINUTE
        assert waiting(node, "1.1") == [True]
    assert "brought_forward" not in node.events("delivered")[-1].detail


def test_one_that_had_failed_itself_and_is_taken_now_shows_that_the_destination_is_back(node: Node) -> None:
    """The second outage of a destination, in the middle of what was left of the first."""
    node.publish("1.0", ("PACS",))
    node.publish("1.1", ("PACS",))
    node.publish("1.2", ("PACS",))
    fail(node)
    fail(node)
    node.deliver("PACS")
    assert waiting(node, "1.0", "1.1") == [False, False]
    node.now += MINUTE
    fail(node)
    fail(node)
    assert waiting(node, "1.0", "1.1") == [True, True]
    node.now += HOUR - MINUTE
    node.deliver("PACS")
    assert waiting(node, "1.1") == [False]


def test_a_success_with_nothing_waiting_reads_nothing_that_has_ended(node: Node) -> None:
    """It is asked at every delivery, however many there have been."""
    node.publish("1.1", ("PACS",))
    claim = node.claim_delivery("PACS")
    statements: list[tuple[str, Any]] = []

    def watch(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    with node.db.transaction() as connection:
        event.listen(node.db._engine, "before_cursor_execute", watch)
        assert end_waiting(connection, claim) == 0
        ((statement, values),) = statements
        event.remove(node.db._engine, "before_cursor_execute", watch)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    assert any("deliveries_to_claim" in str(row) for row in plan), plan
