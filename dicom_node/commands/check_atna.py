"""The part of `check-config` that asks about [atna]: its certificate files, and with --echo the connection."""

from collections.abc import Iterator
from datetime import datetime

from dicom_node.atna.transport import greet
from dicom_node.commands.certificates import describe_validity, level_of
from dicom_node.commands.checks import Check
from dicom_node.errors import NodeError
from dicom_node.settings import Settings
from dicom_node.tls import TlsClient, client_context
from dicom_node.tls_files import CertificateState, TlsError, certificate_states

NAME = "audit messages"


def check_atna(settings: Settings, now: datetime, *, echo: bool) -> Iterator[Check]:
    """Whether the repository can be reached; nothing where no messages are sent.

    No error here prevents a start: images are analysed, the log is written, and its messages wait.
    """
    atna = settings.atna
    if not atna.enabled:
        return
    if atna.transport == "udp":
        words = f"to {atna.host}:{atna.port} over UDP: anybody on the way can read, forge or lose them"
        yield _check("warning", words)
        return
    try:
        files = atna.files(settings.tls)
        states = certificate_states(files, now)
        client_context(TlsClient(files, atna.server_name or atna.host))
    except TlsError as error:
        yield _check("error", f"see [atna] and [tls]: {error}")
        return
    yield from _check_validity(states)
    yield _greet(settings) if echo else _check("ok", f"to {atna.host}:{atna.port} over TLS; --echo asks it")


def _check_validity(states: tuple[CertificateState, ...]) -> Iterator[Check]:
    for state in states:
        if level_of(state) != "ok":
            yield _check(level_of(state), f"{state.subject} in {state.file} {describe_validity(state)}")


def _greet(settings: Settings) -> Check:
    try:
        version = greet(settings.atna, settings.tls)
    except NodeError as error:
        return _check("error", str(error))
    return _check("ok", f"{settings.atna.host}:{settings.atna.port} answers over {version}")


def _check(level: str, outcome: str) -> Check:
    return Check(NAME, level, outcome, prevents_start=False)
