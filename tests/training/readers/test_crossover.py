"""Tests of the effect of assist: worked out by hand, and by scipy on the same numbers set out otherwise."""

import math

import numpy as np
import pytest
from scipy import stats

from training.readers.crossover import CROSSOVER, PAIRED, compare_assist, find_groups
from training.readers.readings import Reading


def _reading(reader: str, case: str, assist: bool) -> Reading:
    return Reading(reader, "resident", "", case, assist, 1.0, ())


def _study(*ways: str) -> list[Reading]:
    """Each way: the cases without assist, a bar, the cases with it."""
    return [
        _reading(f"r{number}", case, assist)
        for number, way in enumerate(ways)
        for assist, cases in enumerate(way.split("|"))
        for case in cases
        for assist in [bool(assist)]
    ]


def _p_of_t3(t: float) -> float:
    """Two-sided, three degrees of freedom: the distribution has a closed form."""
    s = t / math.sqrt(3)
    return 1 - 2 / math.pi * (s / (1 + s * s) + math.atan(s))


def test_crossover_by_hand() -> None:
    # Gains 1, 2, 3 and 2, 4. Period differences 1, 2, 3 and -2, -4: means 2 and -3, half their difference 2.5.
    # Pooled variance (2 + 2) / 3, standard error sqrt(4/3 * (1/3 + 1/2)) = sqrt(10/9), t = 5 / sqrt(10/9), 3 d. f.
    without = {"a": 5.0, "b": 6.0, "c": 7.0, "d": 1.0, "e": 2.0}
    gains = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 2.0, "e": 4.0}
    with_assist = {reader: without[reader] + gain for reader, gain in gains.items()}
    found = compare_assist(without, with_assist, {"a": 1, "b": 1, "c": 1, "d": 2, "e": 2})
    error = math.sqrt(10 / 9)
    assert (found.readers, found.test) == (5, CROSSOVER)
    assert found.effect == pytest.approx(2.5)
    assert found.p == pytest.approx(_p_of_t3(5 / error), rel=1e-9)
    half = 3.182446 * error / 2
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half), abs=1e-5)
    assert found.rank_p == pytest.approx(2 / 10)  # the three lie above the two: one of ten orders, on either side


def test_the_effect_of_the_set_cancels() -> None:
    """The second set of cases is 10 harder: gains differ by group, half their sum does not."""
    rng = np.random.default_rng(4)
    groups = {f"r{n}": 1 + n % 2 for n in range(12)}
    level, noise = rng.normal(50, 5, 12), rng.normal(0, 1, (12, 2))
    without = {r: level[n] + noise[n, 0] - 10 * (g == 2) for n, (r, g) in enumerate(groups.items())}
    with_assist = {r: level[n] + noise[n, 1] + 2 - 10 * (g == 1) for n, (r, g) in enumerate(groups.items())}
    found = compare_assist(without, with_assist, groups)
    assert found.effect == pytest.approx(2, abs=0.7) and found.p is not None and found.p < 0.01
    # The linear model gain = effect + set * sign, by least squares, as a reference.
    sign = np.array([-1.0 if group == 1 else 1.0 for group in groups.values()])
    gain = np.array([with_assist[r] - without[r] for r in groups])
    design = np.c_[np.ones(12), sign]
    solved, residual, *_ = np.linalg.lstsq(design, gain, rcond=None)
    error = math.sqrt(residual[0] / 10 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.effect == pytest.approx(solved[0])
    assert found.p == pytest.approx(2 * stats.t.sf(abs(solved[0]) / error, 10))


def test_paired_by_hand() -> None:
    # Gains 1, 2, 3, 6: mean 3, variance 14/3, t = 3 / sqrt(14/12); all of four gains positive: p 2/16.
    found = compare_assist(dict.fromkeys("abcd", 0.0), {"a": 1.0, "b": 2.0, "c": 3.0, "d": 6.0}, None)
    assert (found.readers, found.test, found.effect) == (4, PAIRED, 3.0)
    assert found.p == pytest.approx(_p_of_t3(3 / math.sqrt(14 / 12)), rel=1e-9)
    assert found.rank_p == pytest.approx(2 / 16)
    assert found.low == pytest.approx(3 - 3.182446 * math.sqrt(14 / 12), abs=1e-5)


def test_what_cannot_be_computed() -> None:
    alike = compare_assist({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 3.0}, None)
    assert alike.effect == 1.0 and alike.p is None and alike.low is None
    assert compare_assist({"a": None}, {"a": 1.0}, None).effect is None
    groups = {"a": 1, "b": 1, "c": 2, "d": 2}
    lacking = compare_assist({"a": 1.0, "b": 2.0, "c": 1.0, "d": None}, dict.fromkeys("abcd", 5.0), groups)
    assert lacking.readers == 3 and lacking.p is None and lacking.test == CROSSOVER


def test_groups() -> None:
    assert find_groups(_study("xy|z", "xy|z", "z|xy", "z|xy")) == {"r0": 1, "r1": 1, "r2": 2, "r3": 2}
    for other in (
        ("xy|z", "xy|z", "z|xy"),  # one reader alone in a group
        ("xyz|xyz", "xyz|xyz"),  # everything read both ways
        ("xy|z", "xy|z", "z|xy", "z|x"),  # one case left out
        ("xy|z", "xy|z", "yz|x", "yz|x"),  # three sets
        ("xy|", "xy|"),
    ):
        assert find_groups(_study(*other)) is None
