"""Asking destinations to commit themselves: every report there may be, at every time it may come."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import select

from storage.commitment import (
    CommitmentReport,
    ReportTaken,
    ResendRules,
    await_report,
    begin_request,
    take_report,
    waive_commitment,
)
from storage.errors import LostClaim
from storage.jobs import release_leases, retry
from storage.outbox import DeliveryRow, claim_delivery, deliveries, postpone_delivery, stored
from storage.overview import overview
from storage.schema import commitments
from storage.states import DeliveryState, SeriesState
from tests.storage.stages import LEASE, SERIES, Node

SOP_CLASS = "1.2.840"  # of every result that the stages make
SEG, SR = f"{SERIES}.1.0", f"{SERIES}.1.1"
HOUR = timedelta(hours=1)
RULES = ResendRules(3, lambda attempts: timedelta(minutes=attempts))


def store(node: Node, destination: str = "PACS") -> None:
    """The destination has taken what was sent."""
    claim = node.claim_delivery(destination)
    assert claim.state == DeliveryState.PENDING
    stored(node.db, claim, [{"sop_instance_uid": one.sop_instance_uid} for one in claim.outstanding], node.now)


def ask(node: Node, transaction_uid: str = "2.25.1") -> None:
    claim = node.claim_delivery()
    assert claim.state == DeliveryState.STORED
    begin_request(node.db, claim, transaction_uid, node.now)
    await_report(node.db, claim, node.now + HOUR, node.now)


def report(
    transaction_uid: str = "2.25.1",
    committed: Mapping[str, str] | None = None,
    failed: Mapping[str, int] | None = None,
) -> CommitmentReport:
    kept = {SEG: SOP_CLASS, SR: SOP_CLASS} if committed is None else committed
    return CommitmentReport(transaction_uid, "ARCHIVE1", "192.0.2.9", kept, failed or {})


def take(node: Node, said: CommitmentReport, rules: ResendRules = RULES) -> ReportTaken:
    return take_report(node.db, said, ["PACS"], rules, node.now)


def row(node: Node) -> DeliveryRow:
    return next(one for one in deliveries(node.db, node.series().id) if one.destination == "PACS")


def outcomes(node: Node) -> dict[str, str | None]:
    with node.db.read() as connection:
        rows = connection.execute(select(commitments)).all()
    return {row.transaction_uid: row.outcome for row in rows}


@pytest.fixture
def waiting(node: Node) -> Node:
    """PACS has taken both results and was asked under 2.25.1; there is no other destination."""
    node.publish(destinations=("PACS",))
    store(node)
    ask(node)
    return node


def test_a_series_is_done_only_when_everything_is_committed(waiting: Node) -> None:
    assert waiting.series().state == SeriesState.DELIVERING
    assert row(waiting).state == DeliveryState.STORED
    assert take(waiting, report()) == ReportTaken.COUNTED
    assert row(waiting).state == DeliveryState.DELIVERED
    assert row(waiting).committed == [SEG, SR]
    assert waiting.series().state == SeriesState.DONE
    (delivered,) = waiting.events("delivered")
    assert delivered.actor == "ARCHIVE1"
    assert delivered.detail["transaction_uid"] == "2.25.1"
    assert delivered.detail["objects"] == [SEG, SR]
    assert outcomes(waiting) == {"2.25.1": "committed"}


def test_the_other_destinations_are_waited_for(node: Node) -> None:
    node.publish()
    store(node)
    ask(node)
    take(node, report())
    assert node.series().state == SeriesState.DELIVERING
    node.deliver("ARCHIVE")
    assert node.series().state == SeriesState.DONE


def test_what_is_not_committed_is_sent_again_alone(waiting: Node) -> None:
    said = report(committed={SEG: SOP_CLASS}, failed={SR: 0x0112})
    assert take(waiting, said) == ReportTaken.COUNTED
    again = row(waiting)
    assert (again.state, again.attempts, again.ended_at) == (DeliveryState.PENDING, 1, None)
    assert again.not_before == waiting.now + timedelta(minutes=1)
    assert "'1.2.3.1.1': '0x0112'" in (again.last_error or "")
    assert claim_delivery(waiting.db, "PACS", "r", waiting.now, LEASE) is None  # not yet
    waiting.now += timedelta(minutes=1)
    claim = waiting.claim_delivery()
    assert [one.sop_instance_uid for one in claim.outstanding] == [SR]
    stored(waiting.db, claim, [{"sop_instance_uid": SR}], waiting.now)
    assert [one["sop_instance_uid"] for one in row(waiting).statuses or []] == [SEG, SR]
    ask(waiting, "2.25.2")
    assert take(waiting, report("2.25.2", committed={SR: SOP_CLASS})) == ReportTaken.COUNTED
    assert row(waiting).state == DeliveryState.DELIVERED
    assert row(waiting).committed == [SEG, SR]


@pytest.mark.parametrize(
    ("committed", "failed", "why"),
    [
        ({SEG: SOP_CLASS}, {}, "not in the report"),
        ({}, {}, "not in the report"),
        ({SEG: SOP_CLASS, SR: "1.2.3.4"}, {}, "other SOP class"),
        ({SEG: SOP_CLASS, SR: SOP_CLASS}, {SR: 0x0110}, "0x0110"),
    ],
)
def test_only_what_a_report_names_rightly_is_committed(
    waiting: Node, committed: Mapping[str, str], failed: Mapping[str, int], why: str
) -> None:
    """Whatever its event type says."""
    take(waiting, report(committed=committed, failed=failed))
    assert row(waiting).state == DeliveryState.PENDING
    (event,) = waiting.events("commitment-failed")
    assert event.detail["failures"][SR] == why


def test_instances_that_were_not_asked_about_change_nothing(waiting: Node) -> None:
    others = {SEG: SOP_CLASS, SR: SOP_CLASS, "1.2.99": SOP_CLASS}
    take(waiting, report(committed=others, failed={"1.2.98": 0x0112}))
    assert row(waiting).state == DeliveryState.DELIVERED
    assert row(waiting).committed == [SEG, SR]


def test_failures_use_up_the_tries(waiting: Node) -> None:
    refused = {SEG: 0x0213, SR: 0x0213}
    for number in (1, 2):
        take(waiting, report(f"2.25.{number}", {}, refused))
        waiting.now += HOUR
        store(waiting)
        ask(waiting, f"2.25.{number + 1}")
    take(waiting, report("2.25.3", {}, refused))
    assert row(waiting).state == DeliveryState.FAILED
    series = waiting.series()
    assert (series.state, series.reason_code) == (SeriesState.FAILED, "delivery-failed")
    assert "ARCHIVE1 did not commit to" in (series.reason_detail or "")


def test_a_report_that_comes_twice_counts_once(waiting: Node) -> None:
    take(waiting, report())
    before = waiting.events()
    assert take(waiting, report()) == ReportTaken.LATE
    (ignored,) = waiting.events()[len(before) :]
    assert (ignored.event, ignored.detail["because"]) == ("commitment-report-ignored", "late")
    assert waiting.series().state == SeriesState.DONE


def test_a_report_nobody_asked_for_is_noted(waiting: Node) -> None:
    assert take(waiting, report("2.25.99")) == ReportTaken.UNKNOWN
    (ignored,) = waiting.events("commitment-report-ignored")
    assert ignored.detail["transaction_uid"] == "2.25.99"
    assert row(waiting).state == DeliveryState.STORED


def test_a_report_nobody_asked_for_leaves_nothing_where_it_is_not_to_be_noted(waiting: Node) -> None:
    before = waiting.events()
    taken = take_report(waiting.db, report("2.25.99"), ["PACS"], RULES, waiting.now, note_ignored=False)
    assert (taken, waiting.events()) == (ReportTaken.UNKNOWN, before)
    taken = take_report(waiting.db, report(), ["PACS"], RULES, waiting.now, note_ignored=False)
    assert (taken, waiting.series().state) == (ReportTaken.COUNTED, SeriesState.DONE)


def test_a_report_of_somebody_else_is_noted(waiting: Node) -> None:
    assert take_report(waiting.db, report(), ["ARCHIVE"], RULES, waiting.now) == ReportTaken.FOREIGN
    assert row(waiting).state == DeliveryState.STORED
    assert waiting.events("commitment-report-ignored")[0].detail["because"] == "foreign"
    assert take(waiting, report()) == ReportTaken.COUNTED  # the right one still counts


def test_it_is_asked_again_only_after_the_time_and_both_reports_would_do(waiting: Node) -> None:
    waiting.now += HOUR - timedelta(seconds=1)
    assert claim_delivery(waiting.db, "PACS", "r", waiting.now, LEASE) is None
    waiting.now += timedelta(seconds=1)
    ask(waiting, "2.25.2")
    assert (row(waiting).asked, row(waiting).attempts) == (2, 1)
    assert take(waiting, report("2.25.1")) == ReportTaken.COUNTED  # late, and true all the same
    assert outcomes(waiting) == {"2.25.1": "committed", "2.25.2": "superseded"}
    assert take(waiting, report("2.25.2", {}, {SEG: 0x0112, SR: 0x0112})) == ReportTaken.LATE
    assert waiting.series().state == SeriesState.DONE


def test_an_old_failure_does_not_have_things_sent_again_that_were_sent_again(waiting: Node) -> None:
    waiting.now += HOUR
    ask(waiting, "2.25.2")
    take(waiting, report("2.25.2", {}, {SEG: 0x0112, SR: 0x0112}))
    waiting.now += HOUR
    store(waiting)
    assert take(waiting, report("2.25.1", {}, {SEG: 0x0112, SR: 0x0112})) == ReportTaken.LATE
    assert row(waiting).state == DeliveryState.STORED


def test_a_report_that_is_quicker_than_the_note_that_it_is_awaited(node: Node) -> None:
    node.publish(destinations=("PACS",))
    store(node)
    claim = node.claim_delivery()
    begin_request(node.db, claim, "2.25.1", node.now)
    assert take(node, report()) == ReportTaken.COUNTED
    with pytest.raises(LostClaim):
        await_report(node.db, claim, node.now + HOUR, node.now)
    assert node.series().state == SeriesState.DONE


def test_a_crash_after_the_request_loses_neither_report_nor_delivery(node: Node) -> None:
    node.publish(destinations=("PACS",))
    store(node)
    begin_request(node.db, node.claim_delivery(), "2.25.1", node.now)
    release_leases(node.db, None, node.now, crashed=False)  # as a start does, which knows of no process that died
    ask(node, "2.25.2")  # the next start does not know whether the request went out
    assert row(node).attempts == 1
    assert take(node, report("2.25.1")) == ReportTaken.COUNTED
    assert node.series().state == SeriesState.DONE


def test_a_late_slice_withdraws_what_waits_for_commitment(waiting: Node) -> None:
    waiting.receive(3)
    assert row(waiting).state == DeliveryState.WITHDRAWN
    assert take(waiting, report()) == ReportTaken.LATE
    (ignored,) = waiting.events("commitment-report-ignored")
    assert ignored.detail["delivery"] == "WITHDRAWN"
    assert waiting.series().state == SeriesState.RECEIVING


def test_a_request_that_is_not_taken_counts_as_a_try(node: Node) -> None:
    node.publish(destinations=("PACS",))
    store(node)
    claim = node.claim_delivery()
    begin_request(node.db, claim, "2.25.1", node.now)
    postpone_delivery(node.db, claim, "no connection", timedelta(minutes=1), 3, node.now)
    assert (row(node).state, row(node).attempts, row(node).asked) == (DeliveryState.STORED, 2, 0)
    node.now += timedelta(minutes=1)
    postpone_delivery(node.db, node.claim_delivery(), "no connection", timedelta(minutes=1), 3, node.now)
    assert row(node).state == DeliveryState.FAILED
    assert node.series().state == SeriesState.FAILED


def test_retry_sends_everything_again_under_a_clean_sheet(waiting: Node) -> None:
    take(waiting, report(committed={SEG: SOP_CLASS}), ResendRules(1, RULES.delay_after))
    assert row(waiting).state == DeliveryState.FAILED
    retry(waiting.db, SERIES, "admin", waiting.now)
    claim = waiting.claim_delivery()
    assert [one.sop_instance_uid for one in claim.outstanding] == [SEG, SR]
    assert (claim.asked, claim.attempts) == (0, 1)


def test_reports_on_what_failed_before_a_retry_change_nothing(node: Node) -> None:
    node.publish(destinations=("PACS",))
    store(node)
    ask(node)
    node.now += HOUR
    claim = node.claim_delivery()
    postpone_delivery(node.db, claim, "no report", timedelta(0), claim.attempts, node.now)
    assert take(node, report()) == ReportTaken.LATE
    retry(node.db, SERIES, "admin", node.now)
    assert take(node, report()) == ReportTaken.LATE
    assert row(node).state == DeliveryState.PENDING


def test_commitment_that_is_switched_off_is_not_waited_for(waiting: Node) -> None:
    waiting.now += HOUR
    waive_commitment(waiting.db, waiting.claim_delivery(), waiting.now)
    assert waiting.series().state == SeriesState.DONE
    (delivered,) = waiting.events("delivered")
    assert (delivered.detail["commitment"], delivered.detail["objects"]) == ("switched off", [SEG, SR])
    assert outcomes(waiting) == {"2.25.1": "superseded"}


def test_what_waits_is_counted_apart(waiting: Node) -> None:
    (pacs,) = overview(waiting.db).destinations
    assert (pacs.pending, pacs.stored, pacs.delivered) == (0, 1, 0)
    assert pacs.oldest_pending_since is not None
