"""XML of audit messages, by hand from PS3.15 A.5.1.1, and a schema that does refuse something."""

import pytest

from dicom_node.atna.message import AuditMessage, Code, Participant, ParticipantObject, to_xml
from dicom_node.atna.syslog import framed, syslog_message
from tests.support.audit_messages import LARGEST, is_valid, see

EVENT = Code("110104", "DCM", "DICOM Instances Transferred")
STUDY = Code("110180", "DCM", "Study Instance UID")
SOURCE = Code("110153", "DCM", "Source Role ID")
CT = "1.2.840.10008.5.1.4.1.1.2"
AT = "2026-03-04T05:06:07.000089Z"


def message(**values: object) -> AuditMessage:
    every = {
        "event_id": EVENT,
        "action": "C",
        "at": AT,
        "outcome": 0,
        "description": "delivered",
        "source_id": "GLIANET",
        "site_id": "North",
        "participants": (Participant("CT1", True, SOURCE, "CT1", None, "192.0.2.7"),),
        "objects": (ParticipantObject("1.2", STUDY, "2", "3", "DICOM study", {CT: 2}, {"Series": "é"}),),
        **values,
    }
    return AuditMessage(**every)  # type: ignore[arg-type]


def test_written_out() -> None:
    assert to_xml(message()).decode("ascii") == (
        '<?xml version="1.0" encoding="UTF-8"?><AuditMessage>'
        f'<EventIdentification EventActionCode="C" EventDateTime="{AT}" EventOutcomeIndicator="0">'
        '<EventID csd-code="110104" codeSystemName="DCM" originalText="DICOM Instances Transferred" />'
        "<EventOutcomeDescription>delivered</EventOutcomeDescription></EventIdentification>"
        '<ActiveParticipant UserID="CT1" AlternativeUserID="AETITLES=CT1" UserIsRequestor="true" '
        'NetworkAccessPointID="192.0.2.7" NetworkAccessPointTypeCode="2">'
        '<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID" /></ActiveParticipant>'
        '<AuditSourceIdentification AuditEnterpriseSiteID="North" AuditSourceID="GLIANET">'
        '<AuditSourceTypeCode csd-code="4" /></AuditSourceIdentification>'
        '<ParticipantObjectIdentification ParticipantObjectID="1.2" ParticipantObjectTypeCode="2" '
        'ParticipantObjectTypeCodeRole="3">'
        '<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID" />'
        "<ParticipantObjectName>DICOM study</ParticipantObjectName>"
        '<ParticipantObjectDetail type="Series" value="w6k=" />'
        f'<ParticipantObjectDescription><SOPClass UID="{CT}" NumberOfInstances="2" />'
        "</ParticipantObjectDescription></ParticipantObjectIdentification></AuditMessage>"
    )


def test_the_syslog_header() -> None:
    """RFC 5424 section 6; PRI 85 is facility 10, severity 5 (PS3.15 A.6)."""
    octets = syslog_message(message(), "node.hospital.example")
    assert octets.startswith(f"<85>1 {AT} node.hospital.example dicom-node - DICOM+RFC3881 - <?xml ".encode())
    assert syslog_message(message(outcome=8), "a b\u00e9").startswith(f"<84>1 {AT} ab dicom-node ".encode())
    assert syslog_message(message(), "").startswith(f"<85>1 {AT} - dicom-node ".encode())
    assert framed(b"<85>1 x") == b"7 <85>1 x"


def test_what_a_peer_may_call_itself() -> None:
    hostile = 'CT\x1b[2J\x00<>&"\ud800\n\u00e9\U0001f600'
    seen = see(syslog_message(message(participants=(Participant(hostile, True, ae_title=hostile),)), "node"))
    assert seen.participants()[0]["UserID"] == 'CT\ufffd[2J\ufffd<>&"\ufffd\n\u00e9\U0001f600'


def test_the_longest_message_is_one_that_every_receiver_takes() -> None:
    endless = "\U0001f600" * 10_000
    participant = Participant(endless, True, SOURCE, endless, endless, endless)
    about = ParticipantObject(endless, STUDY, "2", "3", endless, {}, {"Alert Description": endless})
    octets = syslog_message(
        message(participants=(participant,), objects=(about,), description=endless, source_id=endless),
        "h" * 300,
    )
    assert 10_000 < len(octets) <= LARGEST
    see(octets)


def test_an_address_is_told_from_a_name() -> None:
    kinds = {}
    for address in ("192.0.2.7", "2001:db8::1", "pacs.hospital.example"):
        one = see(syslog_message(message(participants=(Participant("x", False, address=address),)), "node"))
        kinds[address] = one.participants()[0]["NetworkAccessPointTypeCode"]
    assert kinds == {"192.0.2.7": "2", "2001:db8::1": "2", "pacs.hospital.example": "1"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'EventActionCode="C"', b'EventActionCode="X"'),
        (b'EventOutcomeIndicator="0"', b'EventOutcomeIndicator="1"'),
        (b"2026-03-04T05", b"2026-03-04 05"),
        (b'csd-code="110104"', b'code="110104"'),
        (b' originalText="Source Role ID"', b""),
        (b'UserID="CT1" ', b""),
        (b'UserIsRequestor="true"', b'UserIsRequestor="yes"'),
        (b'AuditSourceID="GLIANET"', b""),
        (b"<ParticipantObjectName>DICOM study</ParticipantObjectName>", b""),
        (b'value="w6k="', b'value="\xc3\xa9"'),
        (b' NumberOfInstances="2"', b""),
        (b'NetworkAccessPointTypeCode="2"', b'NetworkAccessPointTypeCode="6"'),
        (b'TypeCodeRole="3"', b'TypeCodeRole="27"'),
        (b"<AuditMessage>", b"<AuditMessage><Other/>"),
    ],
)
def test_the_schema_refuses(old: bytes, new: bytes) -> None:
    xml = to_xml(message())
    assert is_valid(xml)
    assert old in xml
    assert not is_valid(xml.replace(old, new))
