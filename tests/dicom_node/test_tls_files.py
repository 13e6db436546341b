"""The files of [tls]: what they hold, how long it is valid, and who else can read the key."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from dicom_node.tls_files import (
    TlsError,
    Validity,
    certificate_states,
    check_private_key,
    missing_usages,
    read_certificates,
)
from tests.support.certificates import Authority

END = datetime(2030, 6, 30, 12, 0, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("before_the_end", "validity", "days_left"),
    [
        (timedelta(days=31), Validity.VALID, 31),
        (timedelta(days=30), Validity.ENDS_SOON, 30),
        (timedelta(hours=1), Validity.ENDS_SOON, 0),
        (timedelta(0), Validity.ENDS_SOON, 0),
        (timedelta(seconds=-1), Validity.EXPIRED, -1),
    ],
)
def test_a_certificate_is_warned_about_within_thirty_days_of_its_end(
    authority: Authority, before_the_end: timedelta, validity: Validity, days_left: int
) -> None:
    own, trusted = certificate_states(authority.issue("node", until=END), END - before_the_end)
    assert (own.own, own.validity, own.days_left, own.expires_at) == (True, validity, days_left, END)
    assert trusted.own is False


def test_a_certificate_from_the_future_is_said_to_be_one(authority: Authority) -> None:
    own, _ = certificate_states(authority.issue("node"), datetime(2001, 1, 1, tzinfo=UTC))
    assert own.validity == Validity.NOT_YET


def test_subject_and_names_are_told(authority: Authority) -> None:
    own, _ = certificate_states(authority.issue("node", host="glia.example"), datetime.now(UTC))
    assert own.subject.startswith("CN=node,")
    assert own.names == ("node", "glia.example", "127.0.0.1")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660])
def test_a_key_that_others_may_use_is_refused(authority: Authority, mode: int) -> None:
    (_, key, _) = authority.issue("node").files
    key.chmod(mode)
    with pytest.raises(TlsError, match=f"others than its owner may use it .mode {mode:04o}.*chmod 600"):
        check_private_key(key)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_of_its_owner_alone_is_taken(authority: Authority, mode: int) -> None:
    (_, key, _) = authority.issue("node").files
    key.chmod(mode)
    check_private_key(key)


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch(0o600)
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(TlsError, match="passphrase"):
        check_private_key(key)


def test_files_that_are_not_there_or_hold_something_else_are_named(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("no certificate")
    with pytest.raises(TlsError, match=r"other\.pem: holds no certificate in PEM"):
        read_certificates(other)
    with pytest.raises(TlsError, match=r"missing\.pem: cannot be read .No such file"):
        read_certificates(tmp_path / "missing.pem")
    with pytest.raises(TlsError, match=r"missing\.key: cannot be read .No such file"):
        check_private_key(tmp_path / "missing.key")


SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.mark.parametrize(
    ("usages", "missing"),
    [
        ((SERVER, CLIENT), ()),
        ((SERVER,), ("clientAuth",)),
        ((CLIENT,), ("serverAuth",)),
        ((ExtendedKeyUsageOID.CODE_SIGNING,), ("serverAuth", "clientAuth")),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), ()),
        ((), ()),
    ],
)
def test_what_a_certificate_may_not_be_used_for_is_found(
    usages: tuple[x509.ObjectIdentifier, ...], missing: tuple[str, ...]
) -> None:
    certificate = signed_for(*usages)
    assert missing_usages(certificate, as_server=True, as_client=True) == missing
    assert missing_usages(certificate, as_server=False, as_client=False) == ()


def signed_for(*usages: x509.ObjectIdentifier) -> x509.Certificate:
    """Signed by itself, with these extended key usages; without any, without the extension."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, END - timedelta(days=1), END)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(key, hashes.SHA256())
