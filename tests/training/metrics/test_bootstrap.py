"""The quick bootstrap against the one that evaluates every resample."""

import time

import numpy as np
import pytest

from tests.training.tables.made_scores import counted_case, made_scores
from training.metrics.bootstrap import bootstrap_differences, bootstrap_figures
from training.metrics.intervals import BOOTSTRAP_SEED, over_cases
from training.metrics.named_figures import named_figures
from training.metrics.summary import summarise

FEW = 20


def test_every_figure_has_the_interval_of_over_cases() -> None:
    scores = made_scores(12, seed=3)
    quick = bootstrap_figures(scores, FEW)
    assert sum(interval is not None for interval in quick.values()) == len(quick) == 22
    for name, found in quick.items():
        slow = over_cases(lambda some, name=name: named_figures(summarise(some))[name], scores, FEW)  # type: ignore[misc]
        assert slow is not None and found is not None
        assert (found.value, found.low, found.high) == pytest.approx((slow.value, slow.low, slow.high), rel=1e-9)
    varied = {name for name, found in quick.items() if found is not None and found.low != found.high}
    assert len(varied) > 18


def test_draws_without_a_figure_are_left_out() -> None:
    scores = [counted_case("a", (5, 5, 5, 100), ((300, True),), 0), counted_case("b", (0, 0, 0, 100), (), 1)]
    quick = bootstrap_figures(scores, FEW)
    for name in ("recall", "specificity", "auc", "ap"):  # undefined where only one of the two cases is drawn
        slow = over_cases(lambda some, name=name: named_figures(summarise(some))[name], scores, FEW)  # type: ignore[misc]
        assert quick[name] == slow and slow is not None
    assert quick["hd95_mm"] is None and quick["recall <3 mm"] is None


def test_differences_are_of_the_same_cases() -> None:
    """Both models are drawn the same cases, in whatever order they come, and several runs are averaged."""
    first, second, other = made_scores(12, 3), made_scores(12, 4), made_scores(12, 5, 0.5)
    quick = bootstrap_differences([first, second], [other[::-1]], FEW)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    draws = [rng.integers(0, 12, 12) for _ in range(FEW)]
    for name, found in quick.items():
        def figure(scores, name=name):  # type: ignore[no-untyped-def]
            value = named_figures(summarise(scores))[name]
            return np.nan if value is None else value

        value = (figure(first) + figure(second)) / 2 - figure(other)
        drawn = [
            (figure([first[k] for k in draw]) + figure([second[k] for k in draw])) / 2
            - figure([other[k] for k in draw])
            for draw in draws
        ]
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        assert found is not None
        assert (found.value, found.low, found.high) == pytest.approx((value, low, high), rel=1e-9, abs=1e-12)


def test_a_model_does_not_differ_from_itself() -> None:
    scores = made_scores(12, seed=3)
    differences = [one for one in bootstrap_differences([scores], [scores], FEW).values() if one]
    assert {(one.value, one.low, one.high) for one in differences} == {(0, 0, 0)}


def test_a_difference_from_nothing_is_undefined() -> None:
    found = [counted_case("a", (5, 5, 5, 100), ((300, True),), 0), counted_case("b", (0, 0, 0, 100), (), 1)]
    silent = [counted_case("a", (0, 0, 10, 105), ((300, False),), 0), counted_case("b", (0, 0, 0, 100), (), 0)]
    differences = bootstrap_differences([found], [silent], FEW)
    assert differences["precision"] is None
    recall = differences["target_recall"]
    assert recall is not None and (recall.value, recall.low, recall.high) == (1, 1, 1)
    (alone,) = {(one.low, one.high) for one in bootstrap_differences([found[:1]], [silent[:1]]).values() if one}
    assert alone == (None, None)


def test_one_case_has_no_interval() -> None:
    quick = bootstrap_figures(made_scores(1, seed=1))
    assert quick["dsc"] is not None and quick["dsc"].low is None and quick["dsc"].high is None


def test_sixty_cases_take_seconds() -> None:
    scores = made_scores(60, seed=5)
    start = time.process_time()
    bootstrap_figures(scores)
    assert time.process_time() - start < 10
