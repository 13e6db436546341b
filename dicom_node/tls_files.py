"""The files of [tls]: certificates and when they expire, and a private key that nobody else can read."""

import stat
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dicom_node.errors import NodeError
from dicom_node.tls_settings import TlsSettings

PRIVATE = stat.S_IRWXG | stat.S_IRWXO  # permissions that a file with a secret must not give
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_KEY_ADVICE = "give the private key to the account that runs the node and nobody else: chown, chmod 600"


class TlsError(NodeError):
    """A file of [tls] cannot be used."""

    def __init__(self, file: Path | str, what: str, advice: str) -> None:
        super().__init__(what, where=str(file), retry_helps=True, advice=advice)


class Validity(StrEnum):
    """How a certificate stands to its end."""

    VALID = "valid"
    ENDS_SOON = "ends soon"
    EXPIRED = "expired"
    NOT_YET = "not valid yet"


@dataclass(frozen=True)
class CertificateState:
    """A certificate in a file of [tls]; `own` where it is shown to peers, else it is an authority that is trusted."""

    file: str
    own: bool
    subject: str
    names: tuple[str, ...]
    expires_at: datetime
    days_left: int
    validity: Validity


def certificate_states(files: TlsSettings, now: datetime) -> tuple[CertificateState, ...]:
    """Every certificate of the files that are set.

    Raises:
        TlsError: a file cannot be read or holds no certificate.
    """
    warning = timedelta(days=files.expiry_warning_days)
    return tuple(
        _state(one, str(file), own, now, warning)
        for file, own in ((files.certificate, True), (files.trusted, False))
        if file
        for one in read_certificates(Path(file))
    )


def read_certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, in their order. Raises TlsError."""
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes()))
    except OSError as error:
        raise TlsError(file, f"cannot be read ({error.strerror})", "see the [tls] settings") from error
    except ValueError as error:
        raise TlsError(file, "holds no certificate in PEM", "see the [tls] settings") from error


def check_private_key(file: Path) -> None:
    """Raises TlsError where the key cannot be read, others can read it, or it needs a passphrase."""
    try:
        permissions = stat.S_IMODE(file.stat().st_mode)
        key = file.read_bytes()
    except OSError as error:
        raise TlsError(file, f"cannot be read ({error.strerror})", _KEY_ADVICE) from error
    if permissions & PRIVATE:
        raise TlsError(file, f"others than its owner may use it (mode {permissions:04o})", _KEY_ADVICE)
    if b"ENCRYPTED" in key:
        raise TlsError(file, "is encrypted with a passphrase, which nobody could type", "store it without one")


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The host names and addresses that the certificate stands for, and its common names."""
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return tuple(names)
    names += alternative.get_values_for_type(x509.DNSName)
    names += map(str, alternative.get_values_for_type(x509.IPAddress))
    return tuple(dict.fromkeys(names))


def _state(
    certificate: x509.Certificate, file: str, own: bool, now: datetime, warning: timedelta
) -> CertificateState:
    ends = certificate.not_valid_after_utc
    return CertificateState(
        file=file,
        own=own,
        subject=certificate.subject.rfc4514_string(),
        names=names_of(certificate),
        expires_at=ends,
        days_left=(ends - now).days,
        validity=_validity(certificate, now, warning),
    )


def _validity(certificate: x509.Certificate, now: datetime, warning: timedelta) -> Validity:
    if now > certificate.not_valid_after_utc:
        return Validity.EXPIRED
    if now < certificate.not_valid_before_utc:
        return Validity.NOT_YET
    return Validity.ENDS_SOON if certificate.not_valid_after_utc - now <= warning else Validity.VALID


def missing_usages(certificate: x509.Certificate, *, as_server: bool, as_client: bool) -> tuple[str, ...]:
    """What the certificate may not be used for though it is to be: "serverAuth", "clientAuth" (RFC 5280 4.2.1.12).

    Without the extension it may be used for everything.
    """
    try:
        allowed = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()
    wanted = {"serverAuth": (as_server, _SERVER), "clientAuth": (as_client, _CLIENT)}
    return tuple(name for name, (needed, usage) in wanted.items() if needed and not allowed & {usage, _ANY})
