"""The quick bootstrap against the one that evaluates every resample."""

import time

import pytest

from tests.training.tables.made_scores import counted_case, made_scores
from training.metrics.bootstrap import bootstrap_figures
from training.metrics.intervals import over_cases
from training.metrics.named_figures import named_figures
from training.metrics.summary import summarise

FEW = 20


def test_every_figure_has_the_interval_of_over_cases() -> None:
    scores = made_scores(12, seed=3)
    quick = bootstrap_figures(scores, FEW)
    assert sum(interval is not None for interval in quick.values()) == len(quick) == 21
    for name, found in quick.items():
        slow = over_cases(lambda some, name=name: named_figures(summarise(some))[name], scores, FEW)  # type: ignore[misc]
        assert slow is not None and found is not None
        assert (found.value, found.low, found.high) == pytest.approx((slow.value, slow.low, slow.high), rel=1e-9)
    varied = {name for name, found in quick.items() if found is not None and found.low != found.high}
    assert len(varied) > 17


def test_draws_without_a_figure_are_left_out() -> None:
    scores = [counted_case("a", (5, 5, 5, 100), ((300, True),), 0), counted_case("b", (0, 0, 0, 100), (), 1)]
    quick = bootstrap_figures(scores, FEW)
    for name in ("recall", "specificity", "auc", "ap"):  # undefined where only one of the two cases is drawn
        slow = over_cases(lambda some, name=name: named_figures(summarise(some))[name], scores, FEW)  # type: ignore[misc]
        assert quick[name] == slow and slow is not None
    assert quick["hd95_mm"] is None and quick["recall <3 mm"] is None


def test_one_case_has_no_interval() -> None:
    quick = bootstrap_figures(made_scores(1, seed=1))
    assert quick["dsc"] is not None and quick["dsc"].low is None and quick["dsc"].high is None


def test_sixty_cases_take_seconds() -> None:
    scores = made_scores(60, seed=5)
    start = time.process_time()
    bootstrap_figures(scores)
    assert time.process_time() - start < 10
