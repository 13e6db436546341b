"""What the doctor says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

MOST_EXAMPLES = 10

Level = Literal["ok", "warning", "error", "repaired"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is sound, what was seen, and some of what is concerned."""

    name: str
    level: Level
    outcome: str
    examples: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return self.level == "error"

    def about(self, what: Sequence[str]) -> "Check":
        """The same with the first few of what is concerned."""
        return replace(self, examples=tuple(what[:MOST_EXAMPLES]))


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
