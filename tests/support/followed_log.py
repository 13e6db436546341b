"""An audit log that is followed, and a repository that takes its messages or does not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.atna.follow import PAUSE_S, Follower
from dicom_node.atna.transport import RepositoryError
from dicom_node.settings import Settings
from storage.audit import record
from storage.database import Database
from tests.support.audit_messages import SeenMessage, see
from tests.support.pipeline import SetClock


@dataclass
class Repository:
    """Takes batches, or does not."""

    batches: list[list[bytes]] = field(default_factory=list)
    refuses: Exception | None = None
    tries: int = 0
    takes: int = 1_000_000

    def __call__(self, messages: Sequence[bytes]) -> None:
        self.tries += 1
        if self.refuses is not None:
            raise self.refuses
        if len(messages) > self.takes:
            raise RepositoryError("no answer in time", "repository")
        self.batches.append(list(messages))

    @property
    def seen(self) -> list[SeenMessage]:
        return [see(one) for batch in self.batches for one in batch]

    @property
    def rows(self) -> list[int]:
        return [one.row for one in self.seen]


@dataclass
class Site:
    """A node's folder and database, and a clock that only moves when told."""

    db: Database
    settings: Settings
    clock: SetClock = field(default_factory=SetClock)
    repository: Repository = field(default_factory=Repository)
    seconds: float = 0.0

    def follower(self) -> Follower:
        """As after a start of the router."""
        return Follower(
            self.db, self.settings, self.clock, send=self.repository, monotonic=lambda: self.seconds
        )

    @property
    def cursor(self) -> Path:
        return Path(self.settings.storage.folder) / "atna-cursor.json"

    def note(self, *events: str) -> None:
        for event in events:
            record(self.db, event, self.clock(), actor="node", detail={})

    def run(self, follower: Follower, rounds: int = 10) -> None:
        """Let it work until it has nothing more to do, with time for its pauses."""
        for _ in range(rounds):
            while follower.follow():
                pass
            self.seconds += PAUSE_S
