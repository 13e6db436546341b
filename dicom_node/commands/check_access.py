"""The part of `check-config` that asks who may come in: senders, TLS files, and what others can read."""

import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dicom_node.commands.certificates import describe_validity, level_of
from dicom_node.commands.checks import Check
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from dicom_node.tls import server_context
from dicom_node.tls_files import (
    PRIVATE,
    CertificateState,
    TlsError,
    certificate_states,
    missing_usages,
    read_certificates,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_access(settings: Settings, now: datetime) -> Iterator[Check]:
    """Whether those who should come in can, and nobody else."""
    yield from _check_senders(settings)
    yield from _check_tls(settings, now)
    yield from _check_folder_is_private(settings.storage.folder)
    yield from _check_own_keys(Folders(settings.storage.folder))


def _check_senders(settings: Settings) -> Iterator[Check]:
    receiver = settings.receiver
    if receiver.host in LOOPBACK:
        yield Check("senders", "warning", "listens on this machine only: set receiver.host for a scanner's network")
    elif not (receiver.calling_ae_titles or settings.remote):
        who = "any AE title may send" + (", with a trusted certificate" if not receiver.accept_plain else "")
        yield Check("senders", "warning", f"{who}: name the scanners in [[remote]] or receiver.calling_ae_titles")


def _check_tls(settings: Settings, now: datetime) -> Iterator[Check]:
    """An expired certificate is an error, and no reason to leave what is waiting undone."""
    if not settings.tls.files:
        return
    try:
        states = certificate_states(settings.tls, now)
        if settings.tls.complete:
            server_context(settings.tls)
    except TlsError as error:
        yield Check("tls", "error", str(error))
        return
    for state in states:
        yield _check_validity(state)
    yield from _check_usages(settings)
    if not settings.tls.complete:
        yield Check("tls", "warning", "not used: certificate, private_key and trusted are needed together")


def _check_validity(state: CertificateState) -> Check:
    kind = "own certificate" if state.own else "trusted certificate"
    outcome = f"{state.subject} in {state.file} {describe_validity(state)}"
    return Check(kind, level_of(state), outcome, prevents_start=False)


def _check_usages(settings: Settings) -> Iterator[Check]:
    """Authorities often sign for servers alone; peers would refuse the node as a client."""
    if not settings.tls.certificate:
        return
    own, *_ = read_certificates(Path(settings.tls.certificate))
    as_client = any(one.tls for one in settings.destinations) or bool(settings.commitment.over_tls)
    if missing := missing_usages(own, as_server=bool(settings.receiver.tls_port), as_client=as_client):
        lacking = " and ".join(missing)
        outcome = f"its extended key usage lacks {lacking}: peers will refuse it; have it signed for both"
        yield Check("own certificate", "error", outcome, prevents_start=False)


def _check_folder_is_private(folder: Path) -> Iterator[Check]:
    try:
        permissions = stat.S_IMODE(folder.stat().st_mode)
    except OSError:  # not there yet, or not ours to see: the check of the folder says so
        return
    if permissions & PRIVATE:
        outcome = f"others may enter {folder} (mode {permissions:04o}): chmod 700, for it holds patients' images"
        yield Check("privacy", "warning", outcome)


def _check_own_keys(folders: Folders) -> Iterator[Check]:
    """Those that the node has made for itself."""
    for key in (folders.signing_key, folders.patient_key):
        try:
            permissions = stat.S_IMODE(key.stat().st_mode)
        except OSError:  # not made yet, or in a folder that is not ours to enter
            continue
        if permissions & PRIVATE:
            yield Check("keys", "error", f"others than its owner may use {key} (mode {permissions:04o}): chmod 600")
