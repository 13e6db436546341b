"""Audit messages as a repository sees them: checked against the schema, and read into something to compare."""

import base64
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lxml import etree

SCHEMA = Path(__file__).parents[1] / "data" / "audit_message.rng"
HEADER = re.compile(  # RFC 5424 section 6
    rb"<(?P<priority>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>[!-~]{1,255})"
    rb" (?P<application>[!-~]{1,48}) (?P<process>[!-~]{1,128}) (?P<id>[!-~]{1,32}) (?P<data>-) (?P<message>.*)",
    re.DOTALL,
)
LARGEST = 32768  # octets, PS3.15 A.6


@dataclass(frozen=True)
class SeenMessage:
    """A message that is valid against the schema; codes as (value, scheme, meaning)."""

    priority: int
    time: str
    host: str
    xml: etree._Element

    @property
    def event_id(self) -> str:
        return str(self.xml.find("EventIdentification/EventID").get("csd-code"))

    @property
    def event_type(self) -> str | None:
        found = self.xml.find("EventIdentification/EventTypeCode")
        return None if found is None else found.get("csd-code")

    @property
    def action(self) -> str:
        return str(self.xml.find("EventIdentification").get("EventActionCode"))

    @property
    def outcome(self) -> int:
        return int(self.xml.find("EventIdentification").get("EventOutcomeIndicator"))

    @property
    def description(self) -> str:
        return str(self.xml.findtext("EventIdentification/EventOutcomeDescription"))

    @property
    def row(self) -> int:
        """The audit row that it tells of."""
        found = re.search(r"audit row (\d+), SHA-256 [0-9a-f]{64}", self.description)
        assert found
        return int(found[1])

    def participants(self) -> list[dict[str, str]]:
        """Attributes of each participant, with `role`."""
        found = []
        for one in self.xml.findall("ActiveParticipant"):
            role = one.find("RoleIDCode")
            found.append({**dict(one.attrib), **({} if role is None else {"role": role.get("csd-code")})})
        return found

    def objects(self, id_type: str) -> list[etree._Element]:
        """The participant objects that are identified by this code."""
        every = self.xml.findall("ParticipantObjectIdentification")
        return [one for one in every if one.find("ParticipantObjectIDTypeCode").get("csd-code") == id_type]


def details(element: etree._Element) -> dict[str, str]:
    """ParticipantObjectDetail, decoded."""
    found = element.findall("ParticipantObjectDetail")
    return {one.get("type"): base64.b64decode(one.get("value")).decode() for one in found}


def instances(element: etree._Element) -> dict[str, int]:
    """SOP Class UID -> NumberOfInstances."""
    found = element.findall("ParticipantObjectDescription/SOPClass")
    return {one.get("UID"): int(one.get("NumberOfInstances")) for one in found}


def see(message: bytes) -> SeenMessage:
    """What a repository makes of one syslog message; it fails where header or schema are broken."""
    assert len(message) <= LARGEST
    header = HEADER.fullmatch(message)
    assert header, message[:200]
    assert header["application"] == b"dicom-node"
    assert header["id"] == b"DICOM+RFC3881"
    xml = etree.fromstring(header["message"])
    schema = _schema()
    assert schema.validate(xml), f"{schema.error_log}\n{header['message'].decode()}"
    return SeenMessage(int(header["priority"]), header["time"].decode(), header["host"].decode(), xml)


def is_valid(xml: bytes) -> bool:
    """Whether the schema accepts it."""
    return bool(_schema().validate(etree.fromstring(xml)))


@cache
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(SCHEMA))
