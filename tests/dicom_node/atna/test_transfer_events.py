"""Images that come, are used, and results that go, as messages of PS3.15: from whom, to whom, of which patient."""

from datetime import timedelta
from pathlib import Path

from dicom_node.atna.narrator import Narrator
from storage.commitment import CommitmentReport, ResendRules, await_report, begin_request, take_report
from storage.jobs import ResultObject
from storage.outbox import claim_delivery, delivered, postpone_delivery, stored
from storage.states import DeliveryState
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, Pipeline, small_series
from tests.support.told_rows import (
    CT,
    DESTINATION,
    RESULTS,
    SEG,
    SOURCE,
    SR,
    check_no_names,
    check_study_and_patient,
    noted,
    only,
    publish_results,
    seen,
)


def test_reception(pipeline: Pipeline, narrator: Narrator, series: HeadSeries) -> None:
    (opened,) = pipeline.audit("series-opened")
    began = only(narrator, opened)
    assert (began.event_id, began.action, began.outcome) == ("110102", "E", 0)
    check_study_and_patient(began, series, {})
    pipeline.quiet()
    pipeline.assemble()
    (complete,) = pipeline.audit("series-complete")
    ended = only(narrator, complete)
    assert (ended.event_id, ended.action, ended.outcome) == ("110104", "C", 0)
    check_study_and_patient(ended, series, {CT: 8})
    for message in (began, ended):
        check_no_names(message, series)
        sender, receiver = message.participants()
        assert (sender["role"], sender["UserID"], sender["AlternativeUserID"]) == (
            SOURCE,
            "CT1",
            "AETITLES=CT1",
        )
        assert (sender["NetworkAccessPointID"], sender["NetworkAccessPointTypeCode"]) == ("127.0.0.1", "2")
        assert (sender["UserIsRequestor"], receiver["UserIsRequestor"]) == ("true", "false")
        assert (receiver["role"], receiver["UserID"], receiver["AlternativeUserID"]) == (
            DESTINATION,
            "receiver",
            "AETITLES=GLIANET",
        )


def test_reception_of_late_slices(pipeline: Pipeline, narrator: Narrator, tmp_path: Path) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:6])
    pipeline.quiet()
    pipeline.assemble()
    pipeline.receive(series.files[6:])
    (reopened,) = pipeline.audit("series-reopened")
    assert only(narrator, reopened).event_id == "110102"
    pipeline.quiet()
    pipeline.assemble()
    first, second = (only(narrator, entry) for entry in pipeline.audit("series-complete"))
    check_study_and_patient(first, series, {CT: 6})
    check_study_and_patient(second, series, {CT: 8})


def test_reception_with_a_conflict(pipeline: Pipeline, narrator: Narrator, series: HeadSeries) -> None:
    entry = noted(pipeline, "series-complete", sender_ae_title="CT1", conflicting=True)
    message = only(narrator, entry)
    assert (message.outcome, message.priority) == (4, 84)
    assert "other bytes came under a known SOP Instance UID" in message.description


def test_analysis(pipeline: Pipeline, narrator: Narrator, series: HeadSeries) -> None:
    """Table A.5.3.6-1: instances were used."""
    publish_results(pipeline, series)
    message = only(narrator, pipeline.audit("series-analysed")[0])
    assert (message.event_id, message.action, message.outcome) == ("110103", "R", 0)
    check_study_and_patient(message, series, {CT: 8})
    (worker,) = message.participants()
    assert worker["UserID"] == "worker:1:analysis"


def test_deliveries(pipeline: Pipeline, narrator: Narrator, series: HeadSeries) -> None:
    publish_results(pipeline, series)
    began = seen(narrator, pipeline.audit("results-published")[0])
    assert [one.event_id for one in began] == ["110102", "110102"]
    assert [one.participants()[1]["UserID"] for one in began] == ["gone", "pacs"]
    check_study_and_patient(began[0], series, {SR: 1})
    check_study_and_patient(began[1], series, {SR: 1, SEG: 1})
    assert "AlternativeUserID" not in began[0].participants()[1], "the settings do not know it any more"

    claim = claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert claim is not None
    postpone_delivery(pipeline.db, claim, "no connection", timedelta(0), 48, pipeline.clock())
    claim = claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert claim is not None
    delivered(pipeline.db, claim, [], pipeline.clock())
    claim = claim_delivery(pipeline.db, "gone", "router:1:gone", pipeline.clock(), LEASE)
    assert claim is not None
    postpone_delivery(pipeline.db, claim, "no such host", timedelta(0), 1, pipeline.clock())

    said = {
        event: only(narrator, pipeline.audit(event)[0])
        for event in ("delivery-postponed", "delivered", "delivery-failed")
    }
    assert [one.outcome for one in said.values()] == [4, 0, 8]
    for message in said.values():
        check_no_names(message, series)
        assert (message.event_id, message.action) == ("110104", "R")
        node, pacs = message.participants()
        assert (node["role"], node["UserIsRequestor"]) == (SOURCE, "true")
        assert (pacs["role"], pacs["UserIsRequestor"]) == (DESTINATION, "false")
    assert said["delivered"].participants()[1] == {
        "UserID": "pacs",
        "AlternativeUserID": "AETITLES=PACS",
        "UserIsRequestor": "false",
        "NetworkAccessPointID": "127.0.0.1",
        "NetworkAccessPointTypeCode": "2",
        "role": DESTINATION,
    }
    check_study_and_patient(said["delivered"], series, {SR: 1, SEG: 1})
    check_study_and_patient(said["delivery-failed"], series, {SR: 1})
    assert "no connection" in said["delivery-postponed"].description


def said_of(transaction_uid: str, *committed: ResultObject) -> CommitmentReport:
    """What the archive reports under this transaction UID: it keeps these and nothing else."""
    kept = {one.sop_instance_uid: one.sop_class_uid for one in committed}
    return CommitmentReport(transaction_uid, "ARCHIVE", "192.0.2.9", kept, {})


def send_and_ask(pipeline: Pipeline, transaction_uid: str) -> None:
    """As a delivery to a destination that is asked for commitment goes, up to the request."""
    now = pipeline.clock()
    for _ in range(2):
        claim = claim_delivery(pipeline.db, "pacs", "router:1:pacs", now, LEASE)
        assert claim is not None
        if claim.state == DeliveryState.PENDING:
            stored(pipeline.db, claim, [], now)
    begin_request(pipeline.db, claim, transaction_uid, now)
    await_report(pipeline.db, claim, now + LEASE, now)


def test_deliveries_to_a_destination_that_commits_itself(
    pipeline: Pipeline, narrator: Narrator, series: HeadSeries
) -> None:
    """The transfer is told once, by who made it: a report is the destination's word, and no transfer."""
    publish_results(pipeline, series)
    rules = ResendRules(3, lambda _attempts: timedelta(0))
    send_and_ask(pipeline, "2.25.1")
    take_report(pipeline.db, said_of("2.25.1", RESULTS[0]), ["pacs"], rules, pipeline.clock())
    send_and_ask(pipeline, "2.25.2")
    take_report(pipeline.db, said_of("2.25.2", *RESULTS), ["pacs"], rules, pipeline.clock())
    told = {
        event: [seen(narrator, entry) for entry in pipeline.audit(event)]
        for event in ("stored", "commitment-failed", "delivered")
    }
    assert [len(messages) for messages in told["stored"]] == [1, 1]
    assert told["delivered"] == [[]]
    ((failed,),) = told["commitment-failed"]
    assert failed.outcome == 4
    assert failed.description.endswith("; objects that the destination did not commit to: 1")
    for message, actor in ((told["stored"][0][0], "router:1:pacs"), (failed, "node")):
        assert (message.event_id, message.action) == ("110104", "R")
        check_study_and_patient(message, series, {SR: 1, SEG: 1})
        node, pacs = message.participants()
        assert (node["UserID"], node["AlternativeUserID"], node["role"]) == (actor, "AETITLES=GLIANET", SOURCE)
        assert (pacs["UserID"], pacs["role"]) == ("pacs", DESTINATION)
    assert [one[0].outcome for one in told["stored"]] == [0, 0]


def test_a_destination_that_does_not_commit_itself_in_the_end(
    pipeline: Pipeline, narrator: Narrator, series: HeadSeries
) -> None:
    publish_results(pipeline, series)
    send_and_ask(pipeline, "2.25.1")
    once = ResendRules(1, lambda _attempts: timedelta(0))
    take_report(pipeline.db, said_of("2.25.1"), ["pacs"], once, pipeline.clock())
    failed = only(narrator, pipeline.audit("commitment-failed")[0])
    assert failed.outcome == 8
    assert failed.description.endswith("did not commit to: 2")
