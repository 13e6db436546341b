"""What is to go wrong in a process, and where: it dies, the power goes, or the disk refuses."""

import errno
import os
import signal
import sqlite3
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support.faults_points import watch_points
from tests.support.faults_power import PowerCut

KILL, CUT = "kill", "cut"
SQLITE_CODES = {
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.EIO: sqlite3.SQLITE_IOERR,
}
TAKES_NO_SPACE = ("unlink", "remove", "rmdir")  # a full disk lets these pass
HIT = "hit"


@dataclass(frozen=True)
class Plan:
    """One fault for one life of a process.

    kind: "kill" (SIGKILL after a point, and before a commit), "cut" (the power goes there: what was not fsynced is
    gone), or the name of an error ("ENOSPC") that the disk answers from that point on until it is healed, and then
    from the next one where it did not yet.
    spare: points at which nothing happens. only: the one point at which it happens, and at its how-manieth passing;
    "" for the first point that is not spared.
    """

    kind: str = ""
    spare: frozenset[str] = frozenset()
    only: str = ""
    passing: int = 1
    seed: int = 0


@dataclass
class Saboteur:
    """Carries out a plan in this process, and tells the test by `report` where it struck."""

    plan: Plan
    folder: Path
    report: Connection
    passed: dict[str, int] = field(default_factory=dict)
    struck: set[str] = field(default_factory=set)
    sick: bool = False
    _striking: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self) -> None:
        """From now on points are watched."""
        self._power = PowerCut(self.folder) if self.plan.kind == CUT else None
        watch_points(self._before, self._after)

    def heal(self) -> None:
        """The disk takes everything again."""
        self.sick = False

    def _before(self, point: str) -> None:
        if self.plan.kind in (KILL, CUT):
            if point.startswith("commit"):
                self._strike_at(f"before {point}")
        elif self.plan.kind:
            with self._lock:
                if not self.sick and self._is_due(point):
                    self.sick = True
                    self.struck.add(point)
                    self.report.send((HIT, point))
                if self.sick:
                    self._refuse(point)

    def _after(self, point: str) -> None:
        if not self.plan.kind:
            self._count(f"after {point}")
        if self.plan.kind not in (KILL, CUT):
            return
        with self._lock:
            if self._power is not None and not self._striking:
                self._power.note(point)
            self._strike_at(f"after {point}")

    def _count(self, point: str) -> int:
        with self._lock:
            self.passed[point] = self.passed.get(point, 0) + 1
            return self.passed[point]

    def _is_due(self, point: str) -> bool:
        passing = self._count(point)
        if self.plan.only:
            return point == self.plan.only and passing == self.plan.passing
        return point not in self.plan.spare | self.struck

    def _strike_at(self, point: str) -> None:
        with self._lock:
            if self._striking or not self._is_due(point):
                return
            self._striking = True  # what the cut itself writes is no point
            if self._power is not None:
                self._power.cut(self.plan.seed)
            self.report.send((HIT, point))
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()  # the signal ends the process, lock and all

    def _refuse(self, point: str) -> None:
        number = int(getattr(errno, self.plan.kind))
        if point.startswith("commit"):
            refusal = sqlite3.OperationalError(f"the test says {self.plan.kind}")
            refusal.sqlite_errorcode = SQLITE_CODES[number]
            raise refusal
        if not (number == errno.ENOSPC and point.startswith(TAKES_NO_SPACE)):
            raise OSError(number, os.strerror(number))
