"""What was checked of the results in a folder, and what came out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED

Outcome = Literal["passed", "failed", "not made"]
MOST_PROBLEMS = 3  # named in one sentence; the others are counted


@dataclass(frozen=True)
class Check:
    """One check of one object: what came out, and a plain sentence that says why."""

    name: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class ObjectVerdict:
    """All checks of one file. Identifiers are empty where the file cannot be read as far as these."""

    file: str
    kind: str
    sop_instance_uid: str
    series_instance_uid: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """No check failed; those that could not be made do not count."""
        return all(check.outcome != "failed" for check in self.checks)


@dataclass(frozen=True)
class FolderVerdict:
    """The verdicts on all results. sources: by SeriesInstanceUID, how many images are there; skipped: other files."""

    objects: tuple[ObjectVerdict, ...]
    sources: dict[str, int]
    skipped: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """There is a result, and no check of any failed."""
        return bool(self.objects) and all(verdict.passed for verdict in self.objects)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        objects = [asdict(verdict) | {"passed": verdict.passed} for verdict in self.objects]
        return {
            "passed": self.passed,
            "objects": objects,
            "sources": self.sources,
            "skipped": list(self.skipped),
        }


class NotMade(NodeError):
    """A check cannot be made, because what it needs is not there."""

    def __init__(self, why: str) -> None:
        super().__init__(why, where="validation")


def expect(condition: object, what: str) -> None:
    """Raise a NodeError that says `what` is wrong unless `condition` holds."""
    if not condition:
        raise NodeError(what, where="validation")


def expect_none(problems: list[str]) -> None:
    """Raise a NodeError that names the first of `problems` and counts the others."""
    more = len(problems) - MOST_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    expect(not problems, "; ".join(problems[:MOST_PROBLEMS]) + rest)


def run_check(name: str, action: Callable[[], str]) -> Check:
    """Passed, with the sentence that `action` returns; failed, or not made, with the one that it raises."""
    try:
        return Check(name, "passed", action())
    except NotMade as problem:
        return Check(name, "not made", problem.what)
    except NodeError as problem:
        return Check(name, "failed", problem.what)
    except (*DAMAGED, OSError) as problem:  # a file that was there may be gone, or end too early
        return Check(name, "failed", f"an attribute is missing or damaged ({type(problem).__name__}: {problem})")


def counted(number: int, what: str) -> str:
    """ "1 image", "2 images"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
