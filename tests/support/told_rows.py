"""Rows of the audit log as messages, and what these must say of a study and its patient."""

from hashlib import sha256
from hmac import new as hmac
from typing import Any

from pydicom import dcmread

from dicom_node.atna.events import tell
from dicom_node.atna.narrator import Narrator
from dicom_node.atna.syslog import syslog_message
from storage.audit import AuditEntry, newest_entry, record
from storage.jobs import ResultObject, claim_series, publish
from storage.states import SeriesState
from tests.support.audit_messages import SeenMessage, details, instances, see
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, Pipeline, no_lesion

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
