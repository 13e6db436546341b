"""Audit messages to an audit record repository: PS3.15 A.5 (format), A.6 (syslog over TLS), A.7 (syslog over UDP)."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from dicom_node.setting_types import Port, Seconds, Table
from dicom_node.tls_settings import CertificateFile, TlsSettings, files_in, with_files_below

LONGEST_TIMEOUT_S = 20.0  # a node that stops waits for a batch on its way, and has 30 s for everything


class AtnaSettings(Table):
    enabled: bool = False
    transport: Literal["tls", "udp"] = "tls"
    host: str = Field("127.0.0.1", min_length=1)
    port: Port = 6514
    server_name: str = ""
    certificate: CertificateFile = ""
    private_key: CertificateFile = ""
    trusted: CertificateFile = ""
    timeout_s: float = Field(10.0, gt=0, le=LONGEST_TIMEOUT_S)
    first_delay_s: Seconds = 1.0
    maximum_delay_s: Seconds = 300.0
    source_id: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")
    site_id: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")

    def files(self, tls: TlsSettings) -> TlsSettings:
        """The files of this table; where one is not named, that of [tls]."""
        return tls.model_copy(update=files_in(self))

    def relative_to(self, base: Path) -> "AtnaSettings":
        """The same, with relative names taken as relative to `base`."""
        return with_files_below(self, base)
