"""Every kind of row as its message: valid against the schema, and with what the tables of PS3.15 A.5.3 demand."""

from typing import Any

import pytest

from dicom_node.atna.events import TELLERS, tell, tell_in_short
from dicom_node.atna.message import UNKNOWN
from dicom_node.atna.narrator import Narrator
from dicom_node.atna.syslog import syslog_message
from storage.audit import newest_entry, record
from tests.support.audit_messages import details, see
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline
from tests.support.told_rows import (
    APPLICATION,
    CT,
    NODE,
    PATIENT,
    STUDY_UID,
    URI,
    check_study_and_patient,
    noted,
    only,
    publish_results,
    seen,
)


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
