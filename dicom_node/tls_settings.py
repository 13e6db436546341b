"""DICOM over TLS: the files that this node shows and trusts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from dicom_node.setting_types import Table, as_path

_File = Annotated[Path | Literal[""], as_path]


class TlsSettings(Table):
    certificate: _File = ""
    private_key: _File = ""
    trusted: _File = ""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    expiry_warning_days: int = Field(30, ge=0, le=3650)

    @property
    def files(self) -> tuple[Path, ...]:
        """Certificate, private key and trusted authorities, as far as they are set."""
        return tuple(Path(one) for one in (self.certificate, self.private_key, self.trusted) if one)

    @property
    def complete(self) -> bool:
        """Whether all three files are named; mutual authentication needs all of them."""
        return len(self.files) == 3  # noqa: PLR2004 - the three above

    def relative_to(self, base: Path) -> "TlsSettings":
        """The same, with relative names taken as relative to `base`."""
        names = {name: getattr(self, name) for name in ("certificate", "private_key", "trusted")}
        return self.model_copy(update={name: base / file for name, file in names.items() if file})


def check_tls(files: TlsSettings, tls_port: int, reached: Sequence[str]) -> None:
    """Raises ValueError where the TLS port, or those who are reached over TLS, lack the files."""
    needed_by = [*(["receiver.tls_port"] if tls_port else []), *(f"tls for {one}" for one in reached)]
    if needed_by and not files.complete:
        raise ValueError(f"{needed_by[0]} needs tls.certificate, tls.private_key and tls.trusted")
