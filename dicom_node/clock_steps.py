"""Steps of the clock on the wall: somebody, or a time server, sets it while the node runs."""

import time
from collections.abc import Callable

STEP_S = 10.0  # smaller ones cost a few seconds of waiting at most


class ClockSteps:
    """Notices by how much the clock was set back, by a clock that only goes on."""

    def __init__(
        self, wall: Callable[[], float] = time.time, going_on: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._going_on = going_on
        self._ahead = wall() - going_on()

    def back_s(self) -> float:
        """Seconds by which the clock was set back since the last call; 0.0 where it was not, or by less than STEP_S."""
        ahead = self._wall() - self._going_on()
        step, self._ahead = self._ahead - ahead, ahead
        return step if step >= STEP_S else 0.0
