"""TLS contexts: the cipher suites of BCP 195, both sides with certificates, and files that do not fit."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dicom_node.tls import ANY_NAME, SecuredPeer, TlsClient, client_context, server_context
from dicom_node.tls_files import TlsError
from dicom_node.tls_settings import TlsSettings
from tests.support.certificates import Authority

# RFC 9325 section 4.2, by the IANA's names
RECOMMENDED = {
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
}
OF_TLS_1_3 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    return Authority(tmp_path).issue("node")


def iana_names(context: ssl.SSLContext) -> set[str]:
    """OpenSSL's names with the words that the IANA puts between."""
    names = set()
    for one in context.get_ciphers():
        name = one["name"].replace("-", "_").replace("AES128", "AES_128").replace("AES256", "AES_256")
        names.add(name if name.startswith("TLS_") else "TLS_" + name.replace("_AES", "_WITH_AES"))
    return names


def test_only_the_cipher_suites_of_bcp_195_are_offered(files: TlsSettings) -> None:
    for context in (server_context(files), client_context(TlsClient(files, "pacs"))):
        assert iana_names(context) == RECOMMENDED | OF_TLS_1_3


@pytest.mark.parametrize(("minimum", "version"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)])
def test_both_sides_ask_for_a_certificate_and_refuse_old_versions(
    files: TlsSettings, minimum: str, version: ssl.TLSVersion
) -> None:
    files = files.model_copy(update={"minimum_version": minimum})
    for context in (server_context(files), client_context(TlsClient(files, "pacs"))):
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.minimum_version == version
        assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED


def test_the_name_is_checked_unless_any_will_do(files: TlsSettings) -> None:
    assert client_context(TlsClient(files, "pacs")).check_hostname
    assert not client_context(TlsClient(files, ANY_NAME)).check_hostname


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, files: TlsSettings) -> None:
    other = Authority(tmp_path / "other").issue("other")
    mixed = files.model_copy(update={"private_key": other.private_key})
    with pytest.raises(TlsError, match=r"node\.pem: does not go with .*other\.key: key values mismatch"):
        server_context(mixed)


def test_a_weak_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,024 bits; RFC 9325 section 4.5 asks for 2,048."""
    import trustme

    small = rsa.generate_private_key(65537, 1024)
    monkeypatch.setattr(trustme.KeyType, "_generate_key", lambda _self: small)
    weak = Authority(tmp_path).issue("weak")
    pem = small.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    Path(weak.private_key).write_bytes(pem)
    with pytest.raises(TlsError, match=r"weak\.pem: does not go with .*too small"):
        server_context(weak)


@pytest.mark.parametrize("missing", ["certificate", "private_key", "trusted"])
def test_all_three_files_are_needed(files: TlsSettings, missing: str) -> None:
    with pytest.raises(TlsError, match="certificate, private_key and trusted are all needed"):
        server_context(files.model_copy(update={missing: ""}))


def test_names_of_a_certificate_are_compared_without_regard_to_case() -> None:
    peer = SecuredPeer("CN=CT1", ("CT1", "ct1.example"), "TLSv1.3")
    assert peer.bears(("other", "CT1.Example"))
    assert not peer.bears(("ct1.example.evil",))
    assert not peer.bears(())
