"""Audit messages to an audit record repository: PS3.15 A.5 (format), A.6 (syslog over TLS), A.7 (syslog over UDP)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dicom_node.setting_types import Port, Seconds, Table, as_path
from dicom_node.tls_settings import TlsSettings

_File = Annotated[Path | Literal[""], as_path]
LONGEST_TIMEOUT_S = 20.0  # a node that stops waits for a batch on its way, and has 30 s for everything


class AtnaSettings(Table):
    enabled: bool = False
    transport: Literal["tls", "udp"] = "tls"
    host: str = Field("127.0.0.1", min_length=1)
    port: Port = 6514
    server_name: str = ""
    certificate: _File = ""
    private_key: _File = ""
    trusted: _File = ""
    timeout_s: float = Field(10.0, gt=0, le=LONGEST_TIMEOUT_S)
    first_delay_s: Seconds = 1.0
    maximum_delay_s: Seconds = 300.0
    source_id: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")
    site_id: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")

    def files(self, tls: TlsSettings) -> TlsSettings:
        """The files of this table; where one is not named, that of [tls]."""
        own = {name: getattr(self, name) for name in ("certificate", "private_key", "trusted")}
        return tls.model_copy(update={name: file for name, file in own.items() if file})

    def relative_to(self, base: Path) -> "AtnaSettings":
        """The same, with relative names taken as relative to `base`."""
        names = {name: getattr(self, name) for name in ("certificate", "private_key", "trusted")}
        return self.model_copy(update={name: base / file for name, file in names.items() if file})
