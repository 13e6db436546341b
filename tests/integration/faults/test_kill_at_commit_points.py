"""kill -9 and a power cut after every call that makes something last, and before every commit of the database."""

from collections.abc import Callable

import pytest

from tests.integration.faults.conftest import Calm
from tests.support.faults_plan import CUT, KILL, Plan
from tests.support.faults_run import Ordeal


@pytest.mark.parametrize("kind", [KILL, CUT])
def test_each_commit_point_is_struck(kind: str, calm: Calm, new_ordeal: Callable[[], Ordeal]) -> None:
    """One life after another on one folder, each ended at a point where none ended before; then what that left out."""
    ordeal = new_ordeal()
    struck = ordeal.live_through(kind)
    ordeal.check_end(calm.results)
    for point in sorted(points_of(calm) - set(struck)):
        strike_once(new_ordeal(), calm, Plan(kind, only=point))


@pytest.mark.stress
@pytest.mark.parametrize("kind", [KILL, CUT])
def test_each_passing_of_each_point_is_struck_by_itself(
    kind: str, calm: Calm, new_ordeal: Callable[[], Ordeal]
) -> None:
    for point in sorted(points_of(calm)):
        for passing in range(1, calm.passed[after(point)] + 1):
            plan = Plan(kind, only=point, passing=passing, seed=passing)
            strike_once(new_ordeal(), calm, plan, required=passing == 1)


def strike_once(ordeal: Ordeal, calm: Calm, plan: Plan, *, required: bool = True) -> None:
    """One fault on an empty folder, one life without; how often a point is passed hangs on the batches of the rows."""
    life = ordeal.live(plan)
    assert life.struck == plan.only or not required, f"{plan.only} was not passed"
    if not life.ended:
        ordeal.live_on()
    ordeal.check_end(calm.results)


def points_of(calm: Calm) -> set[str]:
    """After every call, and before every commit."""
    before = {
        f"before {point.removeprefix('after ')}" for point in calm.passed if point.startswith("after commit")
    }
    return set(calm.passed) | before


def after(point: str) -> str:
    return f"after {point.partition(' ')[2]}"
