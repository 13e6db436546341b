"""Reception: rows for what came, once each, and a new revision for what came late."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from storage.errors import LostClaim
from storage.jobs import conclude_analysis
from storage.outbox import delivered, deliveries
from storage.reception import record_instances, unregistered
from storage.series import complete_series, instance_paths
from storage.spool import Arrival
from storage.states import DeliveryState, SeriesState
from tests.storage.stages import SERIES, START, Node


def state_of(node: Node) -> tuple[object, ...]:
    row = node.series()
    return row, instance_paths(node.db, row.id), node.events()


def test_first_instances_open_a_series(node: Node) -> None:
    node.receive(1, 2)
    row = node.series()
    assert (row.state, row.revision, row.instance_count) == (SeriesState.RECEIVING, 1, 2)
    assert (row.study_instance_uid, row.sender_ae_title, row.sender_address) == (
        "1.2",
        "SCANNER",
        "192.0.2.7",
    )
    assert (row.first_received_at, row.last_received_at) == (START, START)
    assert not row.conflicting
    assert [one.sop_instance_uid for one in instance_paths(node.db, row.id)] == ["1.2.3.1", "1.2.3.2"]
    assert node.event_names() == ["series-opened"], "one row for the series, none for each instance"
    assert node.events()[0].actor == "SCANNER"


def test_later_instances_count_and_move_the_clock(node: Node) -> None:
    node.receive(1)
    node.now += timedelta(seconds=9)
    node.receive(2, 3)
    row = node.series()
    assert (row.instance_count, row.revision) == (3, 1)
    assert (row.first_received_at, row.last_received_at) == (START, START + timedelta(seconds=9))


def test_two_series_in_one_batch(node: Node) -> None:
    interleaved = [node.instance(n, series) for n in (1, 2, 3) for series in ("1.5", "1.6")][:5]
    record_instances(node.db, interleaved, node.now)
    assert [node.series(uid).instance_count for uid in ("1.5", "1.6")] == [3, 2]


@pytest.mark.parametrize("arrival", [Arrival.NEW, Arrival.CONFLICT])
def test_recording_the_same_arrival_again_changes_nothing(node: Node, arrival: Arrival) -> None:
    node.receive(1, 2)
    node.receive(2, arrival=arrival)
    before = state_of(node)
    node.receive(2, arrival=arrival)
    assert state_of(node) == before


@pytest.mark.parametrize("bring_on", [Node.complete, Node.queue, Node.analyse, Node.refuse, Node.publish])
def test_recording_again_never_reopens(node: Node, bring_on: Callable[[Node], None]) -> None:
    bring_on(node)
    before = state_of(node)
    node.receive(1, 2)
    assert state_of(node) == before


def test_the_same_path_twice_in_a_batch_is_one_instance(node: Node) -> None:
    node.receive(1, 1)
    assert node.series().instance_count == 1


def test_a_duplicate_is_noted_and_shows_that_the_sender_goes_on(node: Node) -> None:
    node.receive(1, 2)
    node.now += timedelta(seconds=5)
    node.receive(2, arrival=Arrival.DUPLICATE)
    row = node.series()
    assert (row.instance_count, row.conflicting) == (2, False)
    assert row.last_received_at == START + timedelta(seconds=5)
    (noted,) = node.events("instance-duplicate")
    assert noted.detail["sop_instance_uid"] == "1.2.3.2"


def test_a_duplicate_never_reopens(node: Node) -> None:
    node.publish()
    before = node.series()
    node.receive(1, 2, arrival=Arrival.DUPLICATE)
    assert node.series() == before
    assert len(node.events("instance-duplicate")) == 2


def test_a_duplicate_whose_first_arrival_has_no_row_counts_as_the_first(node: Node) -> None:
    """The node died between file and row; the scanner had no answer and sent the slice again."""
    node.receive(1)
    node.receive(2, arrival=Arrival.DUPLICATE)
    assert node.series().instance_count == 2
    assert node.events("instance-duplicate") == []


def test_a_conflict_marks_the_series_and_is_no_further_instance(node: Node) -> None:
    node.receive(1, 2)
    node.receive(2, arrival=Arrival.CONFLICT)
    row = node.series()
    assert (row.instance_count, row.conflicting, row.revision) == (2, True, 1)
    assert [one.conflict for one in instance_paths(node.db, row.id)] == [False, False, True]
    assert node.events("instance-conflict")[0].detail["sop_instance_uid"] == "1.2.3.2"


@pytest.mark.parametrize("arrival", [Arrival.NEW, Arrival.CONFLICT])
@pytest.mark.parametrize(
    ("bring_on", "state"),
    [
        (Node.complete, "COMPLETE"),
        (Node.queue, "QUEUED"),
        (Node.analyse, "ANALYSED"),
        (Node.refuse, "REFUSED"),
        (Node.publish, "DELIVERING"),
        (lambda node: node.publish(destinations=()), "DONE"),
    ],
)
def test_a_late_instance_reopens(
    node: Node, bring_on: Callable[[Node], None], state: str, arrival: Arrival
) -> None:
    bring_on(node)
    assert node.series().state == state
    number = 3 if arrival == Arrival.NEW else 2
    node.receive(number, arrival=arrival)
    row = node.series()
    assert (row.state, row.revision) == (SeriesState.RECEIVING, 2)
    assert (row.outcome, row.reason_code, row.refusal_code, row.findings_path, row.concluded_at) == (
        None,
    ) * 5
    assert (row.attempts, row.lease_owner, row.not_before, row.lesion_count) == (0, None, None, None)
    assert row.conflicting == (arrival == Arrival.CONFLICT)
    (reopened,) = node.events("series-reopened")
    detail = reopened.detail
    assert (detail["from"], detail["revision"], detail["next_revision"]) == (state, 1, 2)


def test_a_batch_of_late_instances_reopens_once(node: Node) -> None:
    node.complete()
    node.receive(3, 4)
    node.receive(5)
    assert (node.series().revision, node.series().instance_count) == (2, 5)
    assert len(node.events("series-reopened")) == 1


@pytest.mark.parametrize(("sender", "first"), [("SCANNER", None), ("OTHER", "SCANNER")])
def test_who_reopens_a_series_of_another_sender_is_named_beside_it(
    node: Node, sender: str, first: str | None
) -> None:
    node.complete()
    record_instances(node.db, [replace(node.instance(3), calling_ae_title=sender)], node.now)
    (reopened,) = node.events("series-reopened")
    assert (reopened.actor, reopened.detail.get("first_sender")) == (sender, first)


def test_what_was_sent_stays_and_what_was_not_is_withdrawn(node: Node) -> None:
    node.publish()
    node.deliver("PACS")
    node.receive(3)
    sent = {one.destination: one for one in deliveries(node.db, node.series().id)}
    assert sent["PACS"].state == DeliveryState.DELIVERED
    assert sent["ARCHIVE"].state == DeliveryState.WITHDRAWN
    assert node.events("series-reopened")[0].detail["withdrawn"] == ["ARCHIVE"]


def test_the_next_revision_is_delivered_beside_the_first(node: Node) -> None:
    node.publish()
    node.deliver("PACS")
    node.receive(3)
    node.now += timedelta(seconds=1)
    node.publish()
    node.deliver("PACS")
    node.deliver("ARCHIVE")
    assert (node.series().state, node.series().revision) == (SeriesState.DONE, 2)
    states = [(one.revision, one.destination, one.state) for one in deliveries(node.db, node.series().id)]
    assert states == [
        (1, "ARCHIVE", "WITHDRAWN"),
        (1, "PACS", "DELIVERED"),
        (2, "ARCHIVE", "DELIVERED"),
        (2, "PACS", "DELIVERED"),
    ]
    first, second = (
        {result.sop_instance_uid for result in one.objects}
        for one in deliveries(node.db, node.series().id)
        if one.destination == "PACS"
    )
    assert len(first) == len(second) == 2
    assert not first & second


def test_a_worker_whose_series_was_reopened_changes_nothing(node: Node) -> None:
    node.queue()
    claim = node.claim(SeriesState.QUEUED)
    node.receive(3)
    before = state_of(node)
    with pytest.raises(LostClaim):
        conclude_analysis(node.db, claim, "1.npz", "a" * 64, 2, {}, node.now)
    assert state_of(node) == before


def test_a_destination_that_took_withdrawn_results_is_on_record(node: Node) -> None:
    node.publish()
    claim = node.claim_delivery("PACS")
    node.receive(3)
    before = deliveries(node.db, claim.series_id)
    with pytest.raises(LostClaim):
        delivered(node.db, claim, [{"status": 0}], node.now)
    assert deliveries(node.db, claim.series_id) == before
    assert node.series().state == SeriesState.RECEIVING
    (noted,) = node.events("delivered-without-claim")
    assert noted.detail["objects"] == ["1.2.3.1.0", "1.2.3.1.1"]


def test_the_largest_announced_number_is_kept(node: Node) -> None:
    numbers = (None, 4, 0, 3)
    received = [replace(node.instance(n), announced_instances=count) for n, count in enumerate(numbers)]
    record_instances(node.db, received[:1], node.now)
    assert node.series().announced_instances is None
    record_instances(node.db, received[1:], node.now)
    assert node.series().announced_instances == 4


def test_a_failed_batch_leaves_nothing(node: Node) -> None:
    broken = replace(node.instance(2), sha256="short")
    with pytest.raises(Exception, match="CHECK"):
        record_instances(node.db, [node.instance(1), broken], node.now)
    assert node.event_names() == []
    node.receive(1, 2)
    assert node.series().instance_count == 2


def test_a_time_without_a_zone_is_refused(node: Node) -> None:
    with pytest.raises(Exception, match="time zone"):
        record_instances(node.db, [node.instance(1)], node.now.replace(tzinfo=None))


def test_files_without_a_row_are_found(node: Node) -> None:
    record_instances(node.db, [node.instance(number) for number in range(1200)], node.now)
    files = [node.instance(number).path for number in range(1203)]
    assert unregistered(node.db, iter(files)) == [f"{SERIES}/{number}.dcm" for number in (1200, 1201, 1202)]
    assert unregistered(node.db, []) == []


def test_a_late_slice_starts_the_quiet_time_anew(node: Node) -> None:
    node.complete()
    node.receive(3)
    quiet = timedelta(seconds=30)
    assert complete_series(node.db, node.now + timedelta(seconds=29), quiet) == []
    assert complete_series(node.db, node.now + quiet, quiet) == [SERIES]
