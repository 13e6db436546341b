"""What `check-config` says of one thing that a start needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What it is, whether it holds, and what was seen; `prevents_start` where `serve` refuses over an error."""

    name: str
    level: str  # "ok", "warning", "error"
    outcome: str
    prevents_start: bool = True

    @property
    def failed(self) -> bool:
        return self.level == "error"
