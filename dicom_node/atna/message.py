"""One audit message and its XML: PS3.15 A.5.1 (schema) and A.5.2 (conventions)."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from xml.etree.ElementTree import Element, SubElement, tostring

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
UNKNOWN = "unknown"
LONGEST_TEXT = 300  # characters; what a peer or a library says may be of any length
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


@dataclass(frozen=True)
class Code:
    """A coded value (csd-code, codeSystemName, originalText)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Participant:
    """Who took part: a process or a person. `address`: an IP address or a host name."""

    user_id: str
    is_requestor: bool
    role: Code | None = None
    ae_title: str | None = None
    name: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class ParticipantObject:
    """What the event was about. `instances`: SOP Class UID -> number; `details`: name -> text."""

    id: str
    id_type: Code
    type_code: str
    role: str
    name: str
    instances: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class AuditMessage:
    """An event, who took part, and what it was about. outcome: 0 success, 4 minor, 8 serious, 12 major failure."""

    event_id: Code
    action: str
    at: str
    outcome: int
    description: str
    source_id: str
    site_id: str
    participants: tuple[Participant, ...]
    event_type: Code | None = None
    objects: tuple[ParticipantObject, ...] = ()


def to_xml(message: AuditMessage) -> bytes:
    """The message as ASCII, which is UTF-8 too: other characters as references, so that no byte order mark is needed.

    Control characters that XML does not know, as a peer may put into its AE title, become U+FFFD.
    """
    root = Element("AuditMessage")
    _event(root, message)
    for participant in message.participants:
        _participant(root, participant)
    source = SubElement(root, "AuditSourceIdentification", _present(AuditEnterpriseSiteID=message.site_id))
    source.set("AuditSourceID", _text(message.source_id))
    SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process
    for one in message.objects:
        _object(root, one)
    return DECLARATION + tostring(root, encoding="us-ascii", xml_declaration=False)


def _event(root: Element, message: AuditMessage) -> None:
    values = {
        "EventActionCode": message.action,
        "EventDateTime": message.at,
        "EventOutcomeIndicator": str(message.outcome),
    }
    event = SubElement(root, "EventIdentification", values)
    _coded(event, "EventID", message.event_id)
    if message.event_type is not None:
        _coded(event, "EventTypeCode", message.event_type)
    SubElement(event, "EventOutcomeDescription").text = _text(message.description)


def _participant(root: Element, one: Participant) -> None:
    values = _present(
        UserID=one.user_id or UNKNOWN,
        AlternativeUserID=f"AETITLES={one.ae_title}" if one.ae_title else None,
        UserName=one.name,
        UserIsRequestor="true" if one.is_requestor else "false",
        NetworkAccessPointID=one.address,
        NetworkAccessPointTypeCode=_access_point(one.address) if one.address else None,
    )
    element = SubElement(root, "ActiveParticipant", values)
    if one.role is not None:
        _coded(element, "RoleIDCode", one.role)


def _access_point(address: str) -> str:
    """1: machine name; 2: IP address."""
    try:
        ip_address(address)
    except ValueError:
        return "1"
    return "2"


def _object(root: Element, one: ParticipantObject) -> None:
    values = _present(
        ParticipantObjectID=one.id,
        ParticipantObjectTypeCode=one.type_code,
        ParticipantObjectTypeCodeRole=one.role,
    )
    element = SubElement(root, "ParticipantObjectIdentification", values)
    _coded(element, "ParticipantObjectIDTypeCode", one.id_type)
    SubElement(element, "ParticipantObjectName").text = _text(one.name)
    for name, text in one.details.items():
        encoded = b64encode(text[:LONGEST_TEXT].encode("utf-8", "replace")).decode("ascii")
        SubElement(element, "ParticipantObjectDetail", {"type": name, "value": encoded})
    if one.instances:
        described = SubElement(element, "ParticipantObjectDescription")
        for sop_class, count in sorted(one.instances.items()):
            SubElement(described, "SOPClass", {"UID": _text(sop_class), "NumberOfInstances": str(count)})


def _coded(parent: Element, name: str, code: Code) -> None:
    values = {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning}
    SubElement(parent, name, values)


def _present(**values: str | None) -> dict[str, str]:
    return {name: _text(value) for name, value in values.items() if value}


def _text(value: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", value[:LONGEST_TEXT])
