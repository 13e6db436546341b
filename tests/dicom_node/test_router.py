"""The router's stages wake each other: what one has committed may be the next one's work."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from dicom_node.router import _Bells, _repeat
from dicom_node.time_limit import StepTimes
from tests.support.waiting import wait_for_event

NEVER_S = 3600.0  # a stage that waited for this would never be seen
DEADLINE_S = 20.0


def run(steps: dict[str, Callable[[], bool]]) -> tuple[threading.Event, _Bells, list[threading.Thread]]:
    """The stages as the router runs them."""
    stop, bells = threading.Event(), _Bells(steps)
    threads = [
        threading.Thread(target=_repeat, args=(name, step, stop, bells, StepTimes(), NEVER_S), daemon=True)
        for name, step in steps.items()
    ]
    for thread in threads:
        thread.start()
    return stop, bells, threads


def end(stop: threading.Event, bells: _Bells, threads: list[threading.Thread]) -> None:
    stop.set()
    bells.ring()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in threads)


def test_the_next_stage_looks_as_soon_as_one_has_worked() -> None:
    looked, may_publish, published, delivered = (threading.Event() for _ in range(4))

    def publish() -> bool:
        if published.is_set():
            return False
        wait_for_event(may_publish, DEADLINE_S, "delivery has looked in vain")
        published.set()
        return True

    def deliver() -> bool:
        if published.is_set():
            delivered.set()
        looked.set()
        return False

    running = run({"publishing": publish, "delivery": deliver})
    wait_for_event(looked, DEADLINE_S, "delivery looks for work")
    may_publish.set()
    wait_for_event(delivered, DEADLINE_S, "delivery looks again")
    end(*running)


def test_a_bell_that_rings_while_a_stage_looks_is_not_lost() -> None:
    """The work may have come just after the look."""
    bells = _Bells(["publishing", "delivery"])
    bells.silence("delivery")
    bells.ring(but="publishing")
    waited = threading.Thread(target=bells.wait, args=("delivery", NEVER_S), daemon=True)
    waited.start()
    waited.join(DEADLINE_S)
    assert not waited.is_alive()


def test_a_stage_does_not_ring_for_itself() -> None:
    """It looks again anyway, and waits when there is nothing more."""
    looks = iter([True, True])
    count, waits = [], threading.Event()

    def work() -> bool:
        more = next(looks, False)
        count.append(more)
        if not more:
            waits.set()
        return more

    running = run({"assembly": work})
    wait_for_event(waits, DEADLINE_S, "there is no more work")
    end(*running)
    assert count == [True, True, False]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_storage_that_does_not_answer_is_tried_again() -> None:
    looks, again = iter([True, False]), threading.Event()

    def fail_once() -> bool:
        if next(looks, False):
            raise OperationalError("SELECT", {}, Exception("database is locked"))
        again.set()
        return False

    stop, bells, threads = run({"assembly": fail_once})
    bells.ring()  # at NEVER_S it would not come back by itself
    while not again.wait(0.02):
        bells.ring()
    end(stop, bells, threads)
