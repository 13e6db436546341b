"""A syslog message around an audit message: RFC 5424, as PS3.15 A.6 wants it."""

import re

from dicom_node.atna.message import AuditMessage, to_xml

FACILITY = 10  # security/authorization messages
NOTICE, WARNING = 5, 4  # severities
APPLICATION_NAME = "dicom-node"
MESSAGE_ID = "DICOM+RFC3881"  # PS3.15 A.6
LARGEST_MESSAGE = 32768  # octets; what every receiver that conforms to PS3.15 A.6 takes
_NOT_A_NAME = re.compile(r"[^\x21-\x7e]")


def syslog_message(message: AuditMessage, host: str) -> bytes:
    """The octets of one message: the header with the time of the event, so that a second copy is equal to the first."""
    severity = NOTICE if message.outcome == 0 else WARNING
    name = _NOT_A_NAME.sub("", host)[:255] or "-"
    header = f"<{FACILITY * 8 + severity}>1 {message.at} {name} {APPLICATION_NAME} - {MESSAGE_ID} - "
    return header.encode("ascii") + to_xml(message)


def framed(message: bytes) -> bytes:
    """The message with its length before it: RFC 5425 section 4.3, octet counting."""
    return b"%d %s" % (len(message), message)
