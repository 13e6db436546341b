"""A delivery whose process dies has failed once more: a destination must not end the router for ever."""

from datetime import timedelta

from storage.commitment import ResendRules
from storage.outbox import claim_delivery, deliveries, stored
from storage.recovery import release_leases
from storage.rows import DeliveryRow
from storage.states import DeliveryState, SeriesState
from tests.storage.stages import LEASE, SERIES, Node

RULES = ResendRules(3, lambda attempts: timedelta(minutes=attempts))


def crash(node: Node, owner: str = "router:1:", overtime: bool = False) -> list[str]:
    return release_leases(node.db, owner, node.now, crashed=True, overtime=overtime, resend=RULES)


def delivery(node: Node) -> DeliveryRow:
    (row,) = [one for one in deliveries(node.db, node.series().id) if one.destination == "PACS"]
    return row


def test_the_attempt_counts_and_is_not_due_at_once(node: Node) -> None:
    node.publish()
    node.claim_delivery()
    assert crash(node) == [SERIES]
    row = delivery(node)
    assert (row.state, row.attempts, row.lease_owner) == (DeliveryState.PENDING, 1, None)
    assert row.not_before == node.now + timedelta(minutes=1)
    assert claim_delivery(node.db, "PACS", "router:2:PACS", node.now, LEASE) is None
    assert claim_delivery(node.db, "ARCHIVE", "router:2:ARCHIVE", node.now, LEASE) is not None
    node.now += timedelta(minutes=1)
    assert node.claim_delivery("PACS", "router:2:PACS").attempts == 2
    (released,) = node.events("lease-released")
    assert (released.detail["owner"], released.detail["crashed"]) == ("router:1:PACS", True)


def test_it_fails_when_the_attempts_are_used_up_and_so_does_the_series(node: Node) -> None:
    node.publish(destinations=("PACS",))
    for death in range(1, RULES.maximum_attempts + 1):
        assert delivery(node).state == DeliveryState.PENDING
        node.claim_delivery("PACS", f"router:{death}:PACS")
        crash(node, f"router:{death}:", overtime=bool(death % 2))
        node.now += timedelta(hours=1)
    assert (delivery(node).state, delivery(node).attempts) == (DeliveryState.FAILED, 3)
    row = node.series()
    assert (row.state, row.reason_code) == (SeriesState.FAILED, "delivery-failed")
    assert "died before the destination had answered" in str(row.reason_detail)
    assert node.event_names()[-3:] == ["lease-released", "delivery-failed", "series-failed"]
    assert claim_delivery(node.db, "PACS", "router:9:PACS", node.now, LEASE) is None


def test_so_does_one_whose_destination_is_asked_for_commitment(node: Node) -> None:
    node.publish(destinations=("PACS",))
    stored(node.db, node.claim_delivery(), [], node.now)
    tried = delivery(node).attempts
    node.claim_delivery()
    crash(node)
    row = delivery(node)
    assert (row.state, row.attempts) == (DeliveryState.STORED, tried + 1)
    assert row.not_before is not None and row.not_before > node.now


def test_where_the_node_merely_stopped_nothing_counts(node: Node) -> None:
    node.publish(destinations=("PACS",))
    node.claim_delivery()
    release_leases(node.db, None, node.now, crashed=False)
    assert (delivery(node).attempts, delivery(node).not_before) == (0, None)
    assert node.claim_delivery().attempts == 1
