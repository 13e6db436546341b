"""Digits of figures, as the paper's tables have them."""

import pytest

from training.metrics.intervals import Interval
from training.tables.measures import ACCURACY, FPS_PER_CASE, Unit, difference_text, interval_text, number_text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.488, "%", "48.8"), (0.0654, "%", "6.54"), (1.0, "%", "100"), (0.0, "%", "0"), (0.9997, "%", "99.970"),
        (0.9999999, "%", ">99.999"), (0.00001, "%", "<0.01"), (9.07, "mm", "9.07"), (19.6, "mm", "19.6"),
        (147.2, "s", "147"), (4.38, "per case", "4.38"), (103, "count", "103"), (92.4, "count", "92.4"),
    ],
)  # fmt: skip
def test_numbers(value: float, unit: Unit, text: str) -> None:
    assert number_text(value, unit) == text


def test_intervals() -> None:
    assert interval_text(Interval(0.579, 0.564, 0.595), "%") == "57.9 (56.4–59.5)"
    assert interval_text(Interval(0.95, 0.82, 1.08), "%") == "95.0 (82.0–100)"
    assert interval_text(Interval(1.10, -0.36, 1.84), "per case") == "1.10 (0.00–1.84)"
    assert interval_text(Interval(103, 98.5, 108), "count") == "103.0 (98.5–108.0)"
    assert interval_text(Interval(103, 98, 108), "count") == "103 (98–108)"
    assert interval_text(Interval(0.5, None, None), "%") == "50.0"


def test_differences_have_signs() -> None:
    assert difference_text(Interval(0.083, -0.01, 0.175), "%") == "+8.3 (−1.0 to +17.5)"
    assert difference_text(Interval(-0.4, -0.714, -0.001), "per case") == "−0.400 (−0.714 to −0.001)"
    assert difference_text(Interval(-12.04, None, None), "mm") == "−12.0"
    assert difference_text(Interval(-0.1, -0.2, 0.0), "per case") == "−0.10 (−0.20 to 0.00)"
    assert difference_text(Interval(0.00004, 0.000004, 0.00009), "%") == "+0.0040 (+0.0004 to +0.0090)"


def test_best_by_what_is_better_and_not_where_all_are_alike() -> None:
    assert ACCURACY.best([0.5, None, 0.7, 0.7]) == [False, False, True, True]
    assert FPS_PER_CASE.best([0.5, 0.7]) == [True, False]
    assert ACCURACY.best([0.5, 0.5]) == [False, False] and ACCURACY.best([None, 0.5]) == [False, False]
