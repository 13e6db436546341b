"""DICOM over TLS with mutual authentication: PS3.15 B.12, BCP 195 TLS Secure Transport Connection Profile."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from dicom_node.tls_files import TlsError, check_private_key, names_of, read_certificates
from dicom_node.tls_settings import TlsSettings

ANY_NAME = "*"  # stands for: whatever a trusted authority has signed
# RFC 9325 section 4.2, for TLS 1.2; those of TLS 1.3 are all good. SECLEVEL 2: RSA keys of 2,048 bits and more,
# no signature with SHA-1.
_CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "@SECLEVEL=2",
    )
)
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer sent no certificate",
    "UNSUPPORTED_PROTOCOL": "the peer knows no TLS version that is allowed",
    "NO_SHARED_CIPHER": "the peer knows no cipher suite that is allowed",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS, as in plain DICOM",
    "HTTP_REQUEST": "the peer does not speak TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust this node's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that this node's certificate has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer does not accept this node's certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer asks for a certificate of this node",
}


@dataclass(frozen=True)
class TlsClient:
    """How a peer is connected to over TLS: `name` is what its certificate must name, or `ANY_NAME`."""

    files: TlsSettings
    name: str


@dataclass(frozen=True)
class SecuredPeer:
    """Who is at the other end of a TLS connection, as its certificate says."""

    subject: str
    names: tuple[str, ...]
    version: str

    def bears(self, names: tuple[str, ...]) -> bool:
        """Whether its certificate names one of `names`."""
        return not {one.lower() for one in names}.isdisjoint(one.lower() for one in self.names)


def server_context(files: TlsSettings) -> ssl.SSLContext:
    """For what listens: a peer without a certificate that a trusted authority has signed is refused.

    Raises:
        TlsError: a file is missing, unreadable, or not as it must be.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, files)
    context.num_tickets = 0  # every connection is authenticated anew
    return context


def client_context(client: TlsClient) -> ssl.SSLContext:
    """For what connects. Raises TlsError as `server_context`."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, client.files)
    context.check_hostname = client.name != ANY_NAME
    return context


def secured_peer(connection: object) -> SecuredPeer | None:
    """The peer of a TLS connection; None of any other."""
    encoded = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    if encoded is None or not isinstance(connection, ssl.SSLSocket):
        return None
    version = connection.version() or ""
    try:
        certificate = x509.load_der_x509_certificate(encoded)
        return SecuredPeer(certificate.subject.rfc4514_string(), names_of(certificate), version)
    except ValueError:  # OpenSSL has verified it, and is less strict: it bears no name that can be relied on
        return SecuredPeer("a certificate that cannot be read", (), version)


def explain(error: OSError) -> str:
    """Why a TLS handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the peer ended the connection in the middle of the handshake"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "no reason given"
        return _REASONS.get(reason, reason.lower().replace("_", " "))
    return "no TLS handshake in time" if isinstance(error, TimeoutError) else error.strerror or str(error)


def _context(protocol: int, files: TlsSettings) -> ssl.SSLContext:
    if not files.complete:
        raise TlsError("[tls]", "certificate, private_key and trusted are all needed", "name the three files")
    certificate, private_key, trusted = files.files
    check_private_key(private_key)
    read_certificates(certificate)
    read_certificates(trusted)
    context = ssl.SSLContext(protocol)
    context.minimum_version = _VERSIONS[files.minimum_version]
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # what is in `trusted` is trusted as it stands
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.set_ciphers(_CIPHERS)
    _load(context, certificate, private_key, trusted)
    return context


def _load(context: ssl.SSLContext, certificate: Path, private_key: Path, trusted: Path) -> None:
    try:
        context.load_cert_chain(certificate, private_key)
    except ssl.SSLError as error:
        what = f"does not go with {private_key}: {explain(error)}"
        advice = "the key must be the certificate's, of 2,048 bits (RSA) or 256 (elliptic curve) or more"
        raise TlsError(certificate, what, advice) from error
    try:
        context.load_verify_locations(trusted)
    except ssl.SSLError as error:
        what = f"cannot be used: {explain(error)}"
        raise TlsError(trusted, what, "it holds the certificates of the authorities, in PEM") from error
