"""The certificates of [tls], as `dicom-node status` and `check-config` show them."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.text import Text

from dicom_node.tls_files import CertificateState, TlsError, Validity, certificate_states
from dicom_node.tls_settings import TlsSettings

_WORDS = {
    Validity.VALID: "valid until {day} ({left} days)",
    Validity.ENDS_SOON: "ends on {day}, in {left} days: renew it",
    Validity.EXPIRED: "expired on {day}: peers refuse it; renew it",
    Validity.NOT_YET: "is not valid yet: is this machine's clock right?",
}


def describe_validity(state: CertificateState) -> str:
    """Whether the certificate is valid, and how long."""
    return _WORDS[state.validity].format(day=f"{state.expires_at:%Y-%m-%d}", left=state.days_left)


def level_of(state: CertificateState) -> str:
    """As checks have it; an authority that has expired may stand beside its successor, and is no error."""
    if state.validity == Validity.VALID:
        return "ok"
    return "error" if state.own and state.validity != Validity.ENDS_SOON else "warning"


def collect_certificates(files: TlsSettings, now: datetime) -> list[dict[str, Any]]:
    """For `status --json`: each certificate with its level; a file that cannot be read is one with an error."""
    try:
        states = certificate_states(files, now)
    except TlsError as error:
        return [{"level": "error", "error": str(error)}]
    return [{"level": level_of(one), **asdict(one)} for one in states]


def describe_certificates(files: TlsSettings, now: datetime) -> Iterator[Text]:
    """A line for the node's own certificates, and for each authority that ends."""
    styles = {"ok": "", "warning": "yellow", "error": "red"}
    try:
        states = certificate_states(files, now)
    except TlsError as error:
        yield Text(f"certificates: {error}", style=styles["error"])
        return
    for one in states:
        if one.own or one.validity != Validity.VALID:
            whose = "certificate" if one.own else "trusted authority"
            yield Text(f"{whose}: {one.subject} {describe_validity(one)}", style=styles[level_of(one)])
