"""95 % confidence intervals: over runs, as the paper's (page 7), and by bootstrap over the cases of one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from scipy import stats

from training.metrics.case_score import CaseScore

LEVEL = 0.95
RESAMPLES = 1000
BOOTSTRAP_SEED = 2021


@dataclass(frozen=True)
class Interval:
    """A figure and the limits of its interval; the limits are None where one value alone is known."""

    value: float
    low: float | None
    high: float | None


def over_runs(values: Sequence[float]) -> Interval:
    """Mean and Student's interval of the figure of at least one training run each."""
    if len(values) < 2:
        return Interval(mean(values), None, None)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))
    return Interval(mean(values), mean(values) - half, mean(values) + half)


def over_cases(
    figure: Callable[[Sequence[CaseScore]], float | None], scores: Sequence[CaseScore], resamples: int = RESAMPLES
) -> Interval | None:
    """The figure of all cases, with the percentile bootstrap's interval; None where the figure is undefined.

    Cases are drawn with replacement, always the same way; draws in which the figure is undefined are left out.
    """
    value = figure(scores)
    if value is None:
        return None
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = (figure([scores[k] for k in rng.integers(0, len(scores), len(scores))]) for _ in range(resamples))
    known = [one for one in drawn if one is not None]
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
