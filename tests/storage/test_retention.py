"""What is to be deleted, and in which order; what is not finished is never among it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from storage.abandoning import GivingUp, abandon_destination
from storage.jobs import fail, postpone, publish
from storage.outbox import postpone_delivery
from storage.reanalysis import reanalyse
from storage.retention import Cause, Kind, RetentionRules, plan_deletions, plan_one
from storage.states import SeriesState
from tests.storage.stages import SERIES, Node

DAY = timedelta(days=1)
EVERYTHING = RetentionRules(
    drop_delivered_images=True, images_age=timedelta(0), images_bytes=0, free_bytes=10**9, results_age=timedelta(0)
)
BYTES = 1001 + 1002  # two slices, see Node.instance


def end(node: Node, series: str) -> None:
    node.publish(series)
    node.deliver("PACS")
    node.deliver("ARCHIVE")


def end_refused(node: Node, series: str) -> None:
    node.refuse(series)
    publish(node.db, node.claim(SeriesState.REFUSED), [], {}, node.now)


def planned(node: Node, rules: RetentionRules, free: int = 0) -> list[tuple[str, str, str]]:
    return [(one.kind, one.cause, one.series_instance_uid) for one in plan_deletions(node.db, rules, free, node.now)]


@pytest.fixture
def three(node: Node) -> Node:
    """Series 1.1, 1.2 and 1.3 ended on three days, the second without an analysis."""
    for series, bring in (("1.1", end), ("1.2", end_refused), ("1.3", end)):
        bring(node, series)
        node.now += DAY
    return node


def test_without_rules_nothing_is_deleted(three: Node) -> None:
    assert planned(three, RetentionRules()) == []


def test_by_age_from_the_end_of_the_series_oldest_first(three: Node) -> None:
    """They ended three, two and one days ago, give or take the 30 s until a series is quiet."""
    rules = RetentionRules(images_age=DAY + timedelta(hours=12))
    assert planned(three, rules) == [("images", "age", "1.1"), ("images", "age", "1.2")]


def test_by_size_as_few_of_the_oldest_as_are_needed(three: Node) -> None:
    assert planned(three, RetentionRules(images_bytes=3 * BYTES)) == []
    assert planned(three, RetentionRules(images_bytes=3 * BYTES - 1)) == [("images", "size", "1.1")]
    assert planned(three, RetentionRules(images_bytes=BYTES)) == [("images", "size", "1.1"), ("images", "size", "1.2")]


def test_by_free_space(three: Node) -> None:
    rules = RetentionRules(free_bytes=10_000)
    assert planned(three, rules, free=10_000) == []
    assert planned(three, rules, free=9_999) == [("images", "free-space", "1.1")]
    assert len(planned(three, rules, free=10_000 - 2 * BYTES - 1)) == 3


def test_what_goes_by_age_counts_for_the_space(three: Node) -> None:
    rules = RetentionRules(images_age=DAY * 2 + timedelta(hours=12), free_bytes=BYTES)
    assert planned(three, rules) == [("images", "age", "1.1")]


def test_delivered_images_go_first_and_only_where_a_destination_has_the_results(three: Node) -> None:
    """Of a series that was not analysed a late slice may still make one that is."""
    rules = RetentionRules(drop_delivered_images=True, images_age=timedelta(0))
    assert planned(three, rules) == [
        ("images", "delivered", "1.1"),
        ("images", "delivered", "1.3"),
        ("images", "age", "1.2"),
    ]


def test_a_series_without_a_destination_is_not_delivered(node: Node) -> None:
    node.publish("1.1", destinations=())
    assert node.series("1.1").state == SeriesState.DONE
    assert planned(node, RetentionRules(drop_delivered_images=True)) == []


def test_images_stay_where_a_destination_was_given_up(node: Node) -> None:
    """It has no results, and a new analysis may be wanted for it."""
    node.publish("1.1")
    node.deliver("PACS")
    abandon_destination(node.db, "ARCHIVE", None, GivingUp("user:jo", node.now, "gone", "abandoned", "conflicting"))
    assert node.series("1.1").state == SeriesState.DONE
    assert planned(node, RetentionRules(drop_delivered_images=True)) == []


def test_results_have_their_own_age(three: Node) -> None:
    rules = RetentionRules(results_age=DAY * 2 + timedelta(hours=12))
    (deletion,) = plan_deletions(three.db, rules, 0, three.now)
    assert (deletion.kind, deletion.cause, deletion.series_instance_uid) == (Kind.RESULTS, Cause.AGE, "1.1")
    assert (deletion.files, deletion.bytes) == (2, 4000)


def unfinished(node: Node, state: str) -> None:
    """Bring the one series to a state that has not ended well."""
    if state == "receiving":
        node.receive(1, 2)
    elif state == "complete":
        node.complete()
    elif state == "queued":
        node.queue()
    elif state == "worked on":
        node.queue()
        node.claim(SeriesState.QUEUED)
    elif state == "postponed":
        node.queue()
        postpone(node.db, node.claim(SeriesState.QUEUED), "no memory", DAY, 3, node.now)
    elif state == "failed":
        node.queue()
        fail(node.db, node.claim(SeriesState.QUEUED), "cannot-compute", "no weights", node.now)
    elif state == "analysed":
        node.analyse()
    elif state == "refused":
        node.refuse()
    elif state == "one destination to go":
        node.publish()
        node.deliver("PACS")
    elif state == "delivery failed":
        node.publish()
        node.deliver("PACS")
        postpone_delivery(node.db, node.claim_delivery("ARCHIVE"), "refused", DAY, 1, node.now)
    elif state == "late slice":
        end(node, SERIES)
        node.receive(3)
    elif state == "analysed again":
        end(node, SERIES)
        reanalyse(node.db, SERIES, "user:jo", node.now)


@pytest.mark.parametrize(
    "state",
    [
        "receiving",
        "complete",
        "queued",
        "worked on",
        "postponed",
        "failed",
        "analysed",
        "refused",
        "one destination to go",
        "delivery failed",
        "late slice",
        "analysed again",
    ],
)
def test_what_is_not_finished_is_never_deleted(node: Node, state: str) -> None:
    unfinished(node, state)
    node.now += 1000 * DAY
    assert planned(node, EVERYTHING) == []
    assert plan_one(node.db, SERIES, Kind) == []


@pytest.mark.parametrize("bring", [end, end_refused])
def test_the_same_rules_take_what_is_finished(node: Node, bring: Callable[[Node, str], None]) -> None:
    """So that the test above can fail."""
    bring(node, SERIES)
    assert ("images", SERIES) in [(kind, uid) for kind, _, uid in planned(node, EVERYTHING)]
    assert [one.kind for one in plan_one(node.db, SERIES, {Kind.IMAGES})] == ["images"]
