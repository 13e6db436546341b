"""Certificates made for a test: an authority, and what it has signed, as the files that [tls] names."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from dicom_node.tls_settings import TlsSettings

LONG_AGO, YESTERDAY = timedelta(days=400), timedelta(days=1)


class Authority:
    """A certificate authority and the folder in which it writes what it signs."""

    def __init__(self, folder: Path, name: str = "Hospital CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA(organization_name=name)
        self.certificate = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.certificate))

    def issue(
        self,
        name: str,
        *,
        until: datetime | None = None,
        host: str = "localhost",
        trusting: Path | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> TlsSettings:
        """The files of a holder with common name `name`, for `host` and 127.0.0.1, valid until then."""
        signed = self._ca.issue_cert(
            host,
            "127.0.0.1",
            common_name=name,
            not_before=datetime.now(UTC) - LONG_AGO,
            not_after=until,
            key_type=key_type,
        )
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(one.bytes() for one in signed.cert_chain_pems))
        key.touch(0o600)
        signed.private_key_pem.write_to_path(str(key))
        return TlsSettings(certificate=certificate, private_key=key, trusted=trusting or self.certificate)


def as_table(files: TlsSettings) -> dict[str, object]:
    """The files as the table of a config.toml."""
    return {name: str(getattr(files, name)) for name in ("certificate", "private_key", "trusted")}


def loose_context(files: TlsSettings | None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that checks nothing; with `files` it shows their certificate; `version` is the newest that it knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if files is not None:
        context.load_cert_chain(files.files[0], files.files[1])
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL offers nothing so old
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # that is what it is asked for
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = version
    return context
