"""What `check-config` says of one thing that a start needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What it is, whether it holds, and what was seen.

    prevents_start: `serve` refuses over an error. may_pass: it is no setting but something of the machine, such as a
    port, a disk or a device, so that the same start may succeed later.
    """

    name: str
    level: str  # "ok", "warning", "error"
    outcome: str
    prevents_start: bool = True
    may_pass: bool = False

    @property
    def failed(self) -> bool:
        return self.level == "error"

    @property
    def refuses(self) -> bool:
        """Whether `serve` does not start over it."""
        return self.failed and self.prevents_start
