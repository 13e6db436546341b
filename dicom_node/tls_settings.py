"""DICOM over TLS: the files that this node shows and trusts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from dicom_node.setting_types import Table, as_path

CertificateFile = Annotated[Path | Literal[""], as_path]
AnyTable = TypeVar("AnyTable", bound=Table)
_FILES = ("certificate", "private_key", "trusted")


class TlsSettings(Table):
    certificate: CertificateFile = ""
    private_key: CertificateFile = ""
    trusted: CertificateFile = ""
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    expiry_warning_days: int = Field(30, ge=0, le=3650)

    @property
    def files(self) -> tuple[Path, ...]:
        """Certificate, private key and trusted authorities, as far as they are set."""
        return tuple(files_in(self).values())

    @property
    def complete(self) -> bool:
        """Whether all three files are named; mutual authentication needs all of them."""
        return len(self.files) == len(_FILES)

    def relative_to(self, base: Path) -> "TlsSettings":
        """The same, with relative names taken as relative to `base`."""
        return with_files_below(self, base)


def files_in(table: Table) -> dict[str, Path]:
    """Those of certificate, private_key and trusted that a table names."""
    return {name: Path(file) for name in _FILES if (file := getattr(table, name))}


def with_files_below(table: AnyTable, base: Path) -> AnyTable:
    """The table with relative names taken as relative to `base`."""
    return table.model_copy(update={name: base / file for name, file in files_in(table).items()})


def check_tls(files: TlsSettings, tls_port: int, reached: Sequence[str]) -> None:
    """Raises ValueError where the TLS port, or those who are reached over TLS, lack the files."""
    needed_by = [*(["receiver.tls_port"] if tls_port else []), *(f"tls for {one}" for one in reached)]
    if needed_by and not files.complete:
        raise ValueError(f"{needed_by[0]} needs tls.certificate, tls.private_key and tls.trusted")
