import pytest

from dicom_node.clock_steps import STEP_S, ClockSteps

HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("by", "noticed"),
    [(-24 * HOUR_S, 24 * HOUR_S), (-STEP_S, STEP_S), (1.0 - STEP_S, 0.0), (0.0, 0.0), (24 * HOUR_S, 0.0)],
)
def test_only_a_step_back_is_noticed_and_only_once(by: float, noticed: float) -> None:
    wall, going_on = [1e9], [50.0]
    steps = ClockSteps(lambda: wall[0], lambda: going_on[0])
    wall[0] += 7.0 + by
    going_on[0] += 7.0
    assert steps.back_s() == noticed
    assert steps.back_s() == 0.0


def test_a_clock_that_is_slowly_put_right_takes_no_step() -> None:
    wall, going_on = [1e9], [50.0]
    steps = ClockSteps(lambda: wall[0], lambda: going_on[0])
    for _ in range(1000):
        wall[0] += 9.9
        going_on[0] += 10.0
        assert steps.back_s() == 0.0
