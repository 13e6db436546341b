"""Every kind of row as its message: valid against the schema, and with what the tables of PS3.15 A.5.3 demand."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from hmac import new as hmac
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.atna.events import TELLERS, tell, tell_in_short
from dicom_node.atna.message import UNKNOWN
from dicom_node.atna.narrator import Narrator
from dicom_node.atna.reporter import Reporter
from dicom_node.atna.syslog import syslog_message
from storage.audit import AuditEntry, newest_entry, record
from storage.commitment import CommitmentReport, ResendRules, await_report, begin_request, take_report
from storage.jobs import ResultObject, claim_series, publish
from storage.outbox import claim_delivery, delivered, postpone_delivery, stored
from storage.states import DeliveryState, SeriesState
from tests.support.audit_messages import SeenMessage, details, instances, see
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, Pipeline, no_lesion, open_pipeline, small_series

KEY = b"k" * 32
CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
RESULTS = [
    ResultObject("sr", SR, "1.2.3.4", "1.2.3", "a.dcm", "ab" * 32, 10),
    ResultObject("seg", SEG, "1.2.3.5", "1.2.4", "b.dcm", "ab" * 32, 10),
]
APPLICATION, DESTINATION, SOURCE = "110150", "110152", "110153"
STUDY_UID, PATIENT, URI, NODE = "110180", "2", "12", "110182"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with open_pipeline(tmp_path / "node") as one:
        yield one


@pytest.fixture
def series(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """Received whole."""
    one = small_series(tmp_path)
    pipeline.receive(one.files)
    return one


@pytest.fixture
def narrator(pipeline: Pipeline) -> Narrator:
    return Narrator(Reporter.of(pipeline.settings, "node1"), pipeline.db, pipeline.folders, KEY)


def seen(narrator: Narrator, entry: AuditEntry) -> list[SeenMessage]:
    return [see(syslog_message(one, "node1")) for one in tell(narrator, entry)]


def only(narrator: Narrator, entry: AuditEntry) -> SeenMessage:
    (message,) = seen(narrator, entry)
    assert message.row == entry.number
    assert entry.hash in message.description
    assert message.time == entry.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return message


def noted(pipeline: Pipeline, event: str, actor: str = "node", **detail: Any) -> AuditEntry:
    record(pipeline.db, event, pipeline.clock(), actor=actor, detail=detail)
    entry = newest_entry(pipeline.db)
    assert entry is not None
    return entry


def check_study_and_patient(message: SeenMessage, series: HeadSeries, counts: dict[str, int]) -> None:
    """PS3.15 tables A.5.3.3-1, A.5.3.6-1, A.5.3.7-1: at least one study, one patient."""
    (study,) = message.objects(STUDY_UID)
    assert (study.get("ParticipantObjectTypeCode"), study.get("ParticipantObjectTypeCodeRole")) == ("2", "3")
    assert study.get("ParticipantObjectID") == series.study_uid
    assert details(study) == {"SeriesInstanceUID": series.uid}
    assert instances(study) == counts
    (patient,) = message.objects(PATIENT)
    assert patient.find("ParticipantObjectIDTypeCode").get("codeSystemName") == "RFC-3881"
    assert (patient.get("ParticipantObjectTypeCode"), patient.get("ParticipantObjectTypeCodeRole")) == (
        "1",
        "1",
    )
    patient_id = dcmread(series.files[0], stop_before_pixels=True).PatientID
    assert patient.get("ParticipantObjectID") == hmac(KEY, patient_id.encode(), sha256).hexdigest()
    assert patient.findtext("ParticipantObjectName") == "not recorded"


def check_no_names(message: SeenMessage, series: HeadSeries) -> None:
    header = dcmread(series.files[0], stop_before_pixels=True)
    text = "".join(message.xml.itertext()) + repr([dict(one.attrib) for one in message.xml.iter()])
    assert str(header.PatientName) not in text
    assert header.PatientID not in text


def publish_results(pipeline: Pipeline, series: HeadSeries) -> None:
    pipeline.quiet()
    pipeline.assemble()
    pipeline.conclude(series, no_lesion(series))
    claim = claim_series(pipeline.db, SeriesState.ANALYSED, "router:1:publishing", pipeline.clock(), LEASE)
    assert claim is not None
    destinations = {"pacs": ["sr", "seg"], "gone": ["sr"], "nothing": []}
    publish(pipeline.db, claim, RESULTS, destinations, pipeline.clock())


@pytest.mark.parametrize(("event", "type_code"), [("node-started", "110120"), ("node-stopped", "110121")])
def test_start_and_stop(pipeline: Pipeline, narrator: Narrator, event: str, type_code: str) -> None:
    """Table A.5.3.1-1."""
    message = only(narrator, noted(pipeline, event, ae_title="GLIANET"))
    assert (message.event_id, message.event_type, message.action) == ("110100", type_code, "E")
    assert (message.outcome, message.priority) == (0, 85)
    (node,) = message.participants()
    assert (node["role"], node["AlternativeUserID"], node["UserIsRequestor"]) == (
        APPLICATION,
        "AETITLES=GLIANET",
        "false",
    )
    assert (node["NetworkAccessPointID"], node["NetworkAccessPointTypeCode"]) == ("node1", "1")
    assert message.xml.find("AuditSourceIdentification").get("AuditSourceID") == "GLIANET"


def test_a_process_that_died(pipeline: Pipeline, narrator: Narrator) -> None:
    message = only(narrator, noted(pipeline, "process-died", process="worker", exit_status=-9))
    assert (message.event_id, message.event_type, message.outcome) == ("110100", "110121", 4)
    assert message.participants()[0]["UserID"] == "worker"
    assert "exit status -9" in message.description


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


@pytest.mark.parametrize(
    ("event", "detail", "words"),
    [
        (
            "association-rejected",
            {
                "calling_ae_title": "EVIL\x1b",
                "called_ae_title": "GLIANET",
                "address": "192.0.2.66",
                "result": "Rejected Permanent",
                "reason": "Calling AE title not recognised",
            },
            "association-rejected; result: Rejected Permanent; reason: Calling AE title not recognised",
        ),
        (
            "tls-refused",
            {"address": "192.0.2.66", "reason": "no certificate"},
            "tls-refused; reason: no certificate",
        ),
        (
            "address-shut-out",
            {"address": "192.0.2.66", "since": "", "connections_refused": 12, "rejections_without_a_row": 0},
            "address-shut-out; connections_refused: 12",
        ),
    ],
)
def test_who_was_not_let_in(
    pipeline: Pipeline, narrator: Narrator, event: str, detail: dict[str, Any], words: str
) -> None:
    """Table A.5.3.11-1."""
    message = only(narrator, noted(pipeline, event, detail.get("calling_ae_title", "node"), **detail))
    assert (message.event_id, message.event_type, message.action) == ("110113", "110126", "E")
    assert (message.outcome, message.priority) == (4, 84)
    node, peer = message.participants()
    assert node["UserID"] == "receiver"
    assert (peer["UserIsRequestor"], peer["NetworkAccessPointID"]) == ("false", "192.0.2.66")
    (subject,) = message.objects(NODE)
    assert (subject.get("ParticipantObjectTypeCode"), subject.get("ParticipantObjectID")) == (
        "2",
        "192.0.2.66",
    )
    assert details(subject) == {"Alert Description": words}


@pytest.mark.parametrize("event", ["audit-exported", "audit-head-signed", "audit-verified"])
def test_use_of_the_log(pipeline: Pipeline, narrator: Narrator, event: str) -> None:
    """Table A.5.3.2-1."""
    message = only(narrator, noted(pipeline, event, "user:admin", rows=3, problem=None))
    assert (message.event_id, message.action, message.outcome) == ("110101", "R", 0)
    (person,) = message.participants()
    assert (person["UserID"], person["UserIsRequestor"]) == ("user:admin", "true")
    (log,) = message.objects(URI)
    assert (log.get("ParticipantObjectTypeCode"), log.get("ParticipantObjectTypeCodeRole")) == ("2", "13")
    assert log.findtext("ParticipantObjectName") == "Security Audit Log"
    assert log.get("ParticipantObjectID") == pipeline.folders.database.as_uri()


def test_a_log_that_does_not_hold(pipeline: Pipeline, narrator: Narrator) -> None:
    used = only(narrator, noted(pipeline, "audit-verified", "user:admin", problem="row 3 was changed"))
    assert (used.event_id, used.outcome) == ("110101", 8)
    assert "row 3 was changed" in used.description
    alert = only(narrator, noted(pipeline, "audit-log-changed", problem="row 3 is not as it was sent"))
    assert (alert.event_id, alert.event_type, alert.outcome) == ("110113", "110132", 12)
    assert details(alert.objects(URI)[0]) == {"Alert Description": "row 3 is not as it was sent"}


@pytest.mark.parametrize("event", ["images-deleted", "results-deleted"])
def test_deletion(pipeline: Pipeline, narrator: Narrator, series: HeadSeries, event: str) -> None:
    record(
        pipeline.db,
        event,
        pipeline.clock(),
        series_instance_uid=series.uid,
        actor="node",
        detail={"revision": 1, "because": "age"},
    )
    entry = newest_entry(pipeline.db)
    assert entry is not None
    message = only(narrator, entry)
    assert (message.event_id, message.action) == ("110103", "D")
    assert message.description.endswith("; age")
    check_study_and_patient(message, series, {})


def test_rows_that_have_no_message(pipeline: Pipeline, narrator: Narrator) -> None:
    for event in ("lease-released", "series-accepted", "instance-duplicate", "association-accepted"):
        assert tell(narrator, noted(pipeline, event)) == ()


def test_a_row_without_anything_still_has_a_valid_message(pipeline: Pipeline, narrator: Narrator) -> None:
    """Of a series that the database does not know (a part of it was restored), and of a row of another version."""
    for event in TELLERS:
        now, unknown = pipeline.clock(), "1.2.3.999"
        record(pipeline.db, event, now, series_instance_uid=unknown, actor="", detail={"revision": 1})
        entry = newest_entry(pipeline.db)
        assert entry is not None
        for message in [*seen(narrator, entry), *seen(narrator, noted(pipeline, event, "x"))]:
            assert all(one.get("ParticipantObjectID") == UNKNOWN for one in message.objects(STUDY_UID))


def test_a_row_that_cannot_be_told_in_full(pipeline: Pipeline, narrator: Narrator) -> None:
    entry = noted(pipeline, "delivered")
    message = see(syslog_message(tell_in_short(narrator, entry, "KeyError"), "node1"))
    assert (message.event_id, message.event_type, message.outcome) == ("110113", "110133", 4)
    assert message.row == entry.number
    assert details(message.objects(URI)[0]) == {
        "Alert Description": "a row cannot be told in full (KeyError)"
    }


def test_a_patient_is_known_from_a_result_where_the_images_are_gone(
    pipeline: Pipeline, narrator: Narrator, series: HeadSeries
) -> None:
    publish_results(pipeline, series)
    pipeline.folders.results.mkdir(exist_ok=True)
    (pipeline.folders.results / "b.dcm").write_bytes(series.files[0].read_bytes())
    for file in pipeline.folders.spool.rglob("*.dcm"):
        file.unlink()
    message = only(narrator, pipeline.audit("series-analysed")[0])
    check_study_and_patient(message, series, {CT: 8})


def test_a_patient_is_known_from_the_log_where_all_files_are_gone(
    pipeline: Pipeline, series: HeadSeries, narrator: Narrator
) -> None:
    pipeline.quiet()
    pipeline.assemble()
    for file in pipeline.folders.spool.rglob("*.dcm"):
        file.unlink()
    message = only(narrator, pipeline.audit("series-complete")[0])
    (patient,) = message.objects(PATIENT)
    (accepted,) = pipeline.audit("series-accepted")
    assert patient.get("ParticipantObjectID") == accepted.detail["patient_hash"]
