"""Giving up closes what has failed, tells whom it can, and says who did so and why."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from storage.abandoning import Abandoned, GivingUp, abandon_destination, abandon_series
from storage.audit import verify
from storage.commitment import begin_request
from storage.errors import LostClaim, UnknownSeries
from storage.jobs import fail, publish, retry
from storage.outbox import delivered, deliveries, postpone_delivery, stored
from storage.schema import commitments
from storage.spool import Arrival
from storage.states import DeliveryState, Outcome, SeriesState
from tests.storage.stages import LEASE, Node

OTHER = "1.2.4"


def giving_up(node: Node) -> GivingUp:
    return GivingUp("user:admin", node.now, "the old archive was switched off", "abandoned", "conflicting")


def fail_delivery(node: Node, destination: str) -> None:
    postpone_delivery(node.db, node.claim_delivery(destination), "refused", timedelta(seconds=1), 1, node.now)


def states(node: Node, series: str = "1.2.3") -> dict[str, DeliveryState]:
    return {one.destination: one.state for one in deliveries(node.db, node.series(series).id)}


@pytest.mark.parametrize(
    ("bring_on", "state", "what"),
    [
        (Node.complete, "COMPLETE", "inspection"),
        (Node.queue, "QUEUED", "analysis"),
        (Node.analyse, "ANALYSED", "encoding of the results"),
    ],
)
def test_what_was_never_delivered_is_refused_so_that_somebody_is_told(
    node: Node, bring_on: Callable[[Node], None], state: str, what: str
) -> None:
    bring_on(node)
    fail(node.db, node.claim(SeriesState(state)), "time-limit", "killed in /var/lib/secret", node.now)
    assert abandon_series(node.db, "1.2.3", giving_up(node)) == [Abandoned("1.2.3", (), SeriesState.REFUSED)]
    row = node.series()
    assert (row.outcome, row.reason_code, row.refusal_code) == (Outcome.REFUSED, "abandoned", "abandoned")
    assert row.refusal_detail == f"{what} had failed: time-limit"
    assert (row.lesion_count, row.weights_sha256) == (None, None)
    assert row.concluded_at == node.now
    (entry,) = node.events("series-abandoned")
    assert entry.actor == "user:admin"
    assert entry.detail == {
        "revision": 1,
        "from": state,
        "reason": "time-limit",
        "detail": "killed in /var/lib/secret",
        "because": "the old archive was switched off",
        "refused_as": "abandoned",
    }
    claim = node.claim(SeriesState.REFUSED)
    publish(node.db, claim, node.results(claim), {"PACS": ["seg", "sr"]}, node.now)
    node.deliver("PACS")
    assert node.series().state == SeriesState.NOT_ANALYSED
    assert verify(node.db).ok


def test_where_not_even_the_refusal_could_be_made_the_series_ends(node: Node) -> None:
    node.refuse()
    fail(node.db, node.claim(SeriesState.REFUSED), "encoding", "no header could be read", node.now)
    assert abandon_series(node.db, "1.2.3", giving_up(node)) == [Abandoned("1.2.3", (), SeriesState.NOT_ANALYSED)]
    row = node.series()
    assert (row.reason_code, row.reason_detail, row.ended_at) == ("gantry-tilt", "tilted by 12 degrees", node.now)
    assert node.event_names()[-2:] == ["series-abandoned", "series-not-analysed"]


def test_what_one_destination_did_not_take_is_given_up_and_the_series_is_done(node: Node) -> None:
    node.publish()
    node.deliver("ARCHIVE")
    fail_delivery(node, "PACS")
    assert abandon_series(node.db, "1.2.3", giving_up(node)) == [Abandoned("1.2.3", ("PACS",), SeriesState.DONE)]
    assert states(node) == {"ARCHIVE": "DELIVERED", "PACS": "WITHDRAWN"}
    assert (node.series().reason_code, node.series().last_error, node.series().ended_at) == (None, None, node.now)
    (entry,) = node.events("delivery-abandoned")
    assert entry.detail["destination"] == "PACS"
    assert (entry.detail["state"], entry.detail["attempts"], entry.detail["last_error"]) == ("FAILED", 1, "refused")
    assert retry(node.db, None, "admin", node.now) == []


@pytest.mark.parametrize("bring_on", [Node.complete, Node.queue, Node.refuse, Node.publish])
def test_a_series_that_has_not_failed_is_left_alone(node: Node, bring_on: Callable[[Node], None]) -> None:
    bring_on(node)
    before = node.series(), node.event_names()
    assert abandon_series(node.db, "1.2.3", giving_up(node)) == []
    assert (node.series(), node.event_names()) == before


def test_a_series_that_is_not_here(node: Node) -> None:
    with pytest.raises(UnknownSeries):
        abandon_series(node.db, "1.9", giving_up(node))


def test_a_destination_that_is_gone_holds_nothing_up_any_more(node: Node) -> None:
    """One series waits for it alone, one for another too, one has failed there, one was delivered there before."""
    for series in ("1.1", "1.2", "1.3", "1.4"):
        node.publish(series)
    for destination, answers in (("PACS", "yes held yes yes"), ("ARCHIVE", "held held refused yes")):
        for answer in answers.split():
            settle_next(node, destination, answer)
    done = abandon_destination(node.db, "ARCHIVE", None, giving_up(node))
    assert done == [
        Abandoned("1.1", ("ARCHIVE",), SeriesState.DONE),
        Abandoned("1.2", ("ARCHIVE",), SeriesState.DELIVERING),
        Abandoned("1.3", ("ARCHIVE",), SeriesState.DONE),
    ]
    assert states(node, "1.2") == {"PACS": "PENDING", "ARCHIVE": "WITHDRAWN"}
    assert states(node, "1.4") == {"PACS": "DELIVERED", "ARCHIVE": "DELIVERED"}
    assert node.series("1.3").reason_code is None
    node.now += LEASE
    node.deliver("PACS")
    assert node.series("1.2").state == SeriesState.DONE
    assert abandon_destination(node.db, "ARCHIVE", None, giving_up(node)) == []


def test_one_of_two_that_failed(node: Node) -> None:
    node.publish()
    fail_delivery(node, "PACS")
    fail_delivery(node, "ARCHIVE")
    done = abandon_destination(node.db, "ARCHIVE", "1.2.3", giving_up(node))
    assert done == [Abandoned("1.2.3", ("ARCHIVE",), SeriesState.FAILED)]
    row = node.series()
    assert (row.reason_code, row.reason_detail) == ("delivery-failed", "PACS: refused")
    assert row.last_error == "PACS: refused"
    retry(node.db, "1.2.3", "admin", node.now)
    node.deliver("PACS")
    assert node.series().state == SeriesState.DONE


def test_the_last_that_waits_leaves_what_failed_elsewhere(node: Node) -> None:
    node.publish()
    fail_delivery(node, "PACS")
    done = abandon_destination(node.db, "ARCHIVE", None, giving_up(node))
    assert done == [Abandoned("1.2.3", ("ARCHIVE",), SeriesState.FAILED)]
    assert node.series().reason_detail == "PACS: refused"


def test_only_of_one_series(node: Node) -> None:
    node.publish()
    node.publish(OTHER)
    abandon_destination(node.db, "ARCHIVE", OTHER, giving_up(node))
    assert states(node)["ARCHIVE"] == DeliveryState.PENDING
    assert states(node, OTHER)["ARCHIVE"] == DeliveryState.WITHDRAWN


def test_who_is_just_sending_finds_that_it_was_given_up(node: Node) -> None:
    node.publish()
    claim = node.claim_delivery("ARCHIVE")
    abandon_destination(node.db, "ARCHIVE", None, giving_up(node))
    with pytest.raises(LostClaim):
        delivered(node.db, claim, [{"status": 0}], node.now)
    assert states(node)["ARCHIVE"] == DeliveryState.WITHDRAWN


def test_of_earlier_revisions_nothing_is_touched(node: Node) -> None:
    node.publish()
    fail_delivery(node, "ARCHIVE")
    node.deliver("PACS")
    node.receive(3)
    assert abandon_destination(node.db, "ARCHIVE", None, giving_up(node)) == []
    assert states(node)["ARCHIVE"] == DeliveryState.FAILED


def test_a_trial_changes_nothing(node: Node) -> None:
    node.publish()
    node.deliver("PACS")
    fail_delivery(node, "ARCHIVE")
    before = node.series(), deliveries(node.db, node.series().id), node.event_names()
    wanted = [Abandoned("1.2.3", ("ARCHIVE",), SeriesState.DONE)]
    assert abandon_series(node.db, "1.2.3", giving_up(node), dry_run=True) == wanted
    assert abandon_destination(node.db, "ARCHIVE", None, giving_up(node), dry_run=True) == wanted
    assert (node.series(), deliveries(node.db, node.series().id), node.event_names()) == before


def settle_next(node: Node, destination: str, answer: str) -> None:
    """The next delivery to a destination: taken ("yes"), refused for good, or under way ("held")."""
    claim = node.claim_delivery(destination)
    if answer == "yes":
        delivered(node.db, claim, [{"status": 0}], node.now)
    elif answer == "refused":
        postpone_delivery(node.db, claim, answer, timedelta(seconds=1), 1, node.now)


def test_instances_that_came_twice_with_other_bytes_stay_an_alarm(node: Node) -> None:
    """Whoever gives up: which of them is the patient's is still to be found out."""
    node.receive(1, arrival=Arrival.CONFLICT)
    node.complete()
    fail(node.db, node.claim(SeriesState.COMPLETE), "attempts-used-up", "input/output error", node.now)
    abandon_series(node.db, "1.2.3", giving_up(node))
    row = node.series()
    assert (row.reason_code, row.refusal_code) == ("conflicting", "conflicting")


@pytest.mark.parametrize("series_too", [True, False])
def test_what_was_asked_of_a_destination_is_superseded_when_it_is_given_up(node: Node, series_too: bool) -> None:
    """A report that comes later changes nothing, and nothing waits for it."""
    node.publish()
    claim = node.claim_delivery("PACS")
    stored(node.db, claim, [], node.now)
    begin_request(node.db, node.claim_delivery("PACS"), "2.25.1", node.now)
    abandon_destination(node.db, "PACS", "1.2.3" if series_too else None, giving_up(node))
    with node.db.read() as connection:
        (outcome,) = connection.execute(select(commitments.c.outcome)).scalars()
    assert outcome == "superseded"


def test_what_was_asked_is_superseded_when_the_series_comes_again(node: Node) -> None:
    node.publish()
    stored(node.db, node.claim_delivery("PACS"), [], node.now)
    begin_request(node.db, node.claim_delivery("PACS"), "2.25.1", node.now)
    node.receive(9)
    assert states(node)["PACS"] == DeliveryState.WITHDRAWN
    with node.db.read() as connection:
        (outcome,) = connection.execute(select(commitments.c.outcome)).scalars()
    assert outcome == "superseded"
