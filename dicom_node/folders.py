"""Where things lie below the [storage] folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """The storage folder and what stands in it."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "node.sqlite3"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def findings(self) -> Path:
        return self.root / "findings"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def signing_key(self) -> Path:
        """Signs the heads of the audit log."""
        return self.root / "audit-signing.key"

    @property
    def patient_key(self) -> Path:
        """With it patient identifiers are hashed for audit messages."""
        return self.root / "patient-hash.key"

    @property
    def atna_cursor(self) -> Path:
        """How far the audit log was sent to the audit record repository."""
        return self.root / "atna-cursor.json"
