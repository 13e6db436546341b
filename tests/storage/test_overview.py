"""What `dicom-node status` counts."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from storage.jobs import claim_series, fail, refuse
from storage.outbox import postpone_delivery, stored
from storage.overview import DefectOverview, DestinationOverview, overview
from storage.reception import record_instances
from storage.schema import series
from storage.series import complete_series
from storage.spool import Arrival
from storage.states import SeriesState
from tests.storage.stages import QUIET, START, Node


def test_an_empty_node(node: Node) -> None:
    seen = overview(node.db)
    assert seen.series == dict.fromkeys(SeriesState, 0)
    assert (seen.analysing, seen.oldest_waiting, seen.destinations, seen.defects) == (0, None, (), ())


def test_series_are_counted_by_state(node: Node) -> None:
    node.queue("1.1")
    node.queue("1.2")
    fail(node.db, node.claim(SeriesState.QUEUED), "code", "detail", node.now)
    node.queue("1.3")
    claim_series(node.db, SeriesState.QUEUED, "worker:1", node.now, timedelta(minutes=1))
    node.receive(1, series="1.4")
    seen = overview(node.db)
    counted = {state: count for state, count in seen.series.items() if count}
    assert counted == {SeriesState.QUEUED: 2, SeriesState.FAILED: 1, SeriesState.RECEIVING: 1}
    assert seen.analysing == 1


def test_the_oldest_that_waits_has_neither_ended_nor_is_still_received(node: Node) -> None:
    node.publish("1.1", destinations=())
    node.queue("1.2")
    node.queue("1.3")
    still_received = replace(node.instance(1, series="1.0"), received_at=START - timedelta(hours=1))
    record_instances(node.db, [still_received], node.now)
    oldest = overview(node.db).oldest_waiting
    assert oldest is not None
    assert oldest.series_instance_uid == "1.2"


def test_deliveries_are_counted_by_destination(node: Node) -> None:
    node.publish("1.1")
    first_published = node.now
    node.publish("1.2")
    node.deliver("ARCHIVE")
    delay = timedelta(minutes=1)
    postpone_delivery(node.db, node.claim_delivery("PACS"), "no answer", delay, 1, node.now)
    postpone_delivery(node.db, node.claim_delivery("PACS"), "connection refused", delay, 9, node.now)
    archive, pacs = overview(node.db).destinations
    assert archive == DestinationOverview("ARCHIVE", 1, 0, 1, 0, 0, node.now, None)
    assert pacs == DestinationOverview("PACS", 1, 0, 0, 1, 0, node.now, "connection refused")
    assert first_published > START


def refuse_again(node: Node, series: str, reason: str) -> None:
    """An image comes again with other bytes, and the series is refused for it."""
    node.receive(1, series=series, arrival=Arrival.CONFLICT)
    node.now += QUIET
    complete_series(node.db, node.now, QUIET)
    refuse(node.db, node.claim(SeriesState.COMPLETE), reason, "1 image", node.now)


@pytest.mark.parametrize(("delivered", "concerned"), [(True, 1), (False, 0)])
def test_defects_are_counted_and_those_of_which_results_went_out(node: Node, delivered: bool, concerned: int) -> None:
    node.publish("1.1", destinations=("PACS",))
    if delivered:
        node.deliver("PACS")
    refuse_again(node, "1.1", "changed-patient")
    node.refuse("1.2")
    wanted = ("changed-patient", "gantry-tilt", "missing-slice")
    seen = overview(node.db, wanted).defects
    assert seen == (DefectOverview("changed-patient", 1, concerned), DefectOverview("gantry-tilt", 1, 0))
    assert overview(node.db, ["gantry-tilt"]).defects == seen[1:]


def test_results_that_were_stored_but_not_committed_to_went_out_too(node: Node) -> None:
    node.publish("1.1", destinations=("PACS",))
    stored(node.db, node.claim_delivery("PACS"), [{"status": 0}], node.now)
    refuse_again(node, "1.1", "changed-patient")
    assert overview(node.db, ["changed-patient"]).defects == (DefectOverview("changed-patient", 1, 1),)


def test_a_series_whose_images_were_deleted_is_settled(node: Node) -> None:
    node.publish("1.1", destinations=("PACS",))
    node.deliver("PACS")
    refuse_again(node, "1.1", "changed-patient")
    with node.db.transaction() as connection:
        connection.execute(update(series).values(source_purged_at=node.now))
    assert overview(node.db, ["changed-patient"]).defects == (DefectOverview("changed-patient", 1, 0),)
