"""What waits for its next try is brought forward, and what does not wait is left alone."""

from datetime import timedelta

from storage.forwarding import bring_forward
from storage.jobs import claim_series, postpone
from storage.outbox import deliveries, postpone_delivery
from storage.states import SeriesState
from tests.storage.stages import LEASE, Node

HOUR = timedelta(hours=1)


def test_a_series_that_waits_after_an_error(node: Node) -> None:
    node.queue()
    postpone(node.db, node.claim(SeriesState.QUEUED), "no memory", HOUR, 3, node.now)
    assert claim_series(node.db, SeriesState.QUEUED, "worker:1", node.now, LEASE) is None
    assert bring_forward(node.db, "1.2.3", "user:jo", node.now) == ["1.2.3"]
    assert node.claim(SeriesState.QUEUED).attempts == 2, "the try that was made counts"
    (entry,) = node.events("brought-forward")
    assert (entry.actor, entry.detail) == ("user:jo", {"revision": 1, "state": "QUEUED", "deliveries": []})


def test_deliveries_that_wait(node: Node) -> None:
    node.publish()
    postpone_delivery(node.db, node.claim_delivery("PACS"), "no connection", HOUR, 48, node.now)
    assert bring_forward(node.db, None, "user:jo", node.now) == ["1.2.3"]
    assert {one.not_before for one in deliveries(node.db, node.series().id)} == {None}
    (entry,) = node.events("brought-forward")
    assert entry.detail == {"revision": 1, "state": "DELIVERING", "deliveries": ["PACS"]}
    assert node.claim_delivery("PACS").attempts == 2
    assert bring_forward(node.db, None, "user:jo", node.now) == []


def test_what_is_worked_on_is_left_alone(node: Node) -> None:
    node.queue()
    node.claim(SeriesState.QUEUED)
    node.receive(1, series="1.9")
    assert bring_forward(node.db, None, "user:jo", node.now) == []
    assert bring_forward(node.db, "unknown", "user:jo", node.now) == []
    assert node.events("brought-forward") == []
