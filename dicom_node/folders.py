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
