"""What a dead process held is free again; a series that kills its process is set aside."""

import pytest

from storage.errors import LostClaim
from storage.jobs import conclude_analysis, release_leases
from storage.outbox import claim_delivery, deliveries
from storage.states import SeriesState
from tests.storage.stages import LEASE, SERIES, Node


def test_released_without_counting_the_attempt(node: Node) -> None:
    node.queue()
    claim = node.claim(SeriesState.QUEUED, "worker:1")
    assert release_leases(node.db, "worker:1", node.now, crashed=True) == [SERIES]
    row = node.series()
    assert (row.state, row.lease_owner, row.attempts, row.crashes) == (SeriesState.QUEUED, None, 0, 1)
    (entry,) = node.events("lease-released")
    assert (entry.detail["owner"], entry.detail["crashed"], entry.detail["crashes"]) == ("worker:1", True, 1)
    with pytest.raises(LostClaim):
        conclude_analysis(node.db, claim, "x", "a" * 64, 0, {}, node.now)


def test_a_clean_stop_is_no_crash(node: Node) -> None:
    node.queue()
    node.claim(SeriesState.QUEUED, "worker:1")
    release_leases(node.db, None, node.now, crashed=False)
    assert (node.series().crashes, node.series().attempts) == (0, 0)


def test_set_aside_at_the_third_crash(node: Node) -> None:
    node.queue()
    for pid in (1, 2):
        node.claim(SeriesState.QUEUED, f"worker:{pid}")
        release_leases(node.db, f"worker:{pid}", node.now, crashed=True)
        assert node.series().state == SeriesState.QUEUED
    node.claim(SeriesState.QUEUED, "worker:3")
    assert release_leases(node.db, "worker:3", node.now, crashed=True) == [SERIES]
    row = node.series()
    assert (row.state, row.failed_from, row.crashes) == (SeriesState.FAILED, SeriesState.QUEUED, 3)
    assert row.reason_code == "worker-crashed"
    assert node.event_names()[-2:] == ["lease-released", "series-failed"]


def test_crashes_are_forgotten_when_the_stage_is_passed(node: Node) -> None:
    node.queue()
    node.claim(SeriesState.QUEUED, "worker:1")
    release_leases(node.db, "worker:1", node.now, crashed=True)
    claim = node.claim(SeriesState.QUEUED, "worker:2")
    conclude_analysis(node.db, claim, "x", "a" * 64, 0, {}, node.now)
    assert node.series().crashes == 0


@pytest.mark.parametrize(
    ("prefix", "released"),
    [
        ("worker:1", {"worker:1"}),
        ("worker:", {"worker:1", "worker:17"}),
        ("router:1", {"router:1:assembly"}),
        ("worker", {"worker:1", "worker:17"}),
        ("work", set()),
        ("w_rker:", set()),
        (None, {"worker:1", "worker:17", "router:1:assembly"}),
    ],
)
def test_whose_leases(node: Node, prefix: str | None, released: set[str]) -> None:
    owners = ("worker:1", "worker:17", "router:1:assembly")
    uids = {}
    for number, owner in enumerate(owners):
        node.queue(f"1.{number}")
        uids[owner] = f"1.{number}"
        node.claim(SeriesState.QUEUED, owner)
    freed = release_leases(node.db, prefix, node.now, crashed=False)
    assert set(freed) == {uids[owner] for owner in released}
    still = {owner for owner in owners if node.series(uids[owner]).lease_owner}
    assert still == set(owners) - released


def test_deliveries_are_released_too(node: Node) -> None:
    node.publish()
    node.claim_delivery("PACS", "router:1:PACS")
    assert claim_delivery(node.db, "PACS", "router:2:PACS", node.now, LEASE) is None
    assert release_leases(node.db, "router:1", node.now, crashed=False) == [SERIES]
    assert [one.attempts for one in deliveries(node.db, node.series().id)] == [0, 0]
    assert node.claim_delivery("PACS", "router:2:PACS").attempts == 1


def test_nothing_held(node: Node) -> None:
    node.queue()
    assert release_leases(node.db, None, node.now, crashed=True) == []
    assert node.series().crashes == 0
