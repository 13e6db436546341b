"""Whether readers read otherwise with assist: the treatment test of the two-period crossover, or a paired test.

In the paper's design (its Figure 7) the two periods are two sets of cases:

    group R1: set S1 without assist, set S2 with it   difference S2 - S1 =   effect of assist + effect of the set
    group R2: set S1 with assist, set S2 without it   difference S2 - S1 = - effect of assist + effect of the set

so that half the difference between the groups' means is the effect of assist, whatever the sets (Hills and Armitage,
British Journal of Clinical Pharmacology 8, 1979).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from scipy import stats

from training.metrics.intervals import LEVEL
from training.readers.readings import Reading

LEAST_READERS = 2
"""Of each group: fewer have no spread to judge by."""

CROSSOVER = "t test on period differences of a two-period crossover; rank test: Mann-Whitney"
PAIRED = "paired t test over readers; rank test: Wilcoxon"


@dataclass(frozen=True)
class Comparison:
    """The effect of assist on one figure, with minus without, in the figure's own unit.

    readers: whose figure is known in both ways; p: of the t test, rank_p: of the rank test. Values are None where they
    cannot be computed, such as where all differences are alike. test: which were used.
    """

    readers: int
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    rank_p: float | None
    test: str


def find_groups(readings: Sequence[Reading]) -> dict[str, int] | None:
    """Each reader's group, 1 or 2, by the set read without assist; None where the design is no such crossover.

    It is one where there are two sets without a common case, and each reader has read one without and all of the other
    with assist, at least two readers in either way.
    """
    readers = dict.fromkeys(reading.reader for reading in readings)
    ways = {reader: (_read(reader, False, readings), _read(reader, True, readings)) for reader in readers}
    first, second = next(iter(ways.values()))
    if not first or not second or first & second:
        return None
    groups = {(first, second): 1, (second, first): 2}
    if any(way not in groups for way in ways.values()):
        return None
    found = {reader: groups[way] for reader, way in ways.items()}
    enough = all(list(found.values()).count(group) >= LEAST_READERS for group in (1, 2))
    return found if enough else None


def compare_assist(
    without: Mapping[str, float | None], with_assist: Mapping[str, float | None], groups: Mapping[str, int] | None
) -> Comparison:
    """The effect on one figure, given by reader. groups: of `find_groups`; None asks for the paired test."""
    gains = {
        reader: after - before
        for reader, before in without.items()
        if before is not None and (after := with_assist.get(reader)) is not None
    }
    if groups is None:
        return _paired(list(gains.values()))
    one, two = ([gain for reader, gain in gains.items() if groups[reader] == group] for group in (1, 2))
    if min(len(one), len(two)) < LEAST_READERS:
        return _unknown(len(gains), CROSSOVER)
    return _crossover(one, two)


def _read(reader: str, assist: bool, readings: Sequence[Reading]) -> frozenset[str]:
    return frozenset(one.case for one in readings if one.reader == reader and one.assist is assist)


def _crossover(one: list[float], two: list[float]) -> Comparison:
    """Gains of the two groups; the period difference of the second group is its gain with the sign turned."""
    turned = [-gain for gain in two]
    effect = (float(np.mean(one)) + float(np.mean(two))) / 2
    if _alike(one) and _alike(two):
        return _unknown(len(one) + len(two), CROSSOVER, effect)
    test = stats.ttest_ind(one, turned)
    rank = stats.mannwhitneyu(one, turned)
    return _comparison(len(one) + len(two), effect, test, 0.5, rank, CROSSOVER)


def _paired(gains: list[float]) -> Comparison:
    if len(gains) < LEAST_READERS or _alike(gains):
        return _unknown(len(gains), PAIRED, float(np.mean(gains)) if gains else None)
    test = stats.ttest_1samp(gains, 0.0)
    return _comparison(len(gains), float(np.mean(gains)), test, 1.0, stats.wilcoxon(gains), PAIRED)


def _comparison(readers: int, effect: float, test: Any, share: float, rank: Any, name: str) -> Comparison:
    limits = test.confidence_interval(LEVEL)
    low, high = float(limits.low) * share, float(limits.high) * share
    return Comparison(readers, effect, low, high, _known(test.pvalue), _known(rank.pvalue), name)


def _unknown(readers: int, name: str, effect: float | None = None) -> Comparison:
    return Comparison(readers, effect, None, None, None, None, name)


def _alike(values: Sequence[float]) -> bool:
    return float(np.ptp(values)) < 1e-12


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None
