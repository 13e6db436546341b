"""Histograms of aneurysm sizes and patient ages, as in Figure 3 D and E of the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.case_statistics import NO_SPLIT, SplitStatistics, Spread, case_statistics
from training.check_cases import CheckedCase
from training.metrics.case_score import SIZE_LIMITS_MM

BIN_MM, BIN_YEARS = 1.0, 10.0
LEAST_AXIS_MM, LEAST_AXIS_YEARS = 10.0, 100.0
"""The axes reach at least so far, so that pictures of different cases can be compared."""

WIDTH_INCHES, HEIGHT_OF_ROW_INCHES, DOTS_PER_INCH = 9.0, 2.1, 120
INK, FAINT = "#22313f", "#9aa5ad"
SIZE_COLOUR, AGE_COLOUR = "#2a6f97", "#8a5a83"


def draw_statistics(path: Path, checked: Sequence[CheckedCase]) -> None:
    """Draws a PNG: a row for each split, sizes at the left, ages at the right, n with mean and SD above each.

    Sizes are equivalent diameters; dotted lines part the classes under 3, 3 to 7 and over 7 mm. Needs matplotlib.
    Raises OSError.
    """
    from matplotlib.figure import Figure

    rows = case_statistics(checked).splits
    figure = Figure((WIDTH_INCHES, HEIGHT_OF_ROW_INCHES * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex="col")
    for one, (left, right) in zip(rows, grid, strict=True):
        own = [case for case in checked if (case.case.split or NO_SPLIT) == one.split]
        _draw_sizes(left, one, own, _reach(_sizes(checked), BIN_MM, LEAST_AXIS_MM))
        _draw_ages(right, one, own, _reach(_ages(checked), BIN_YEARS, LEAST_AXIS_YEARS))
    grid[-1, 0].set_xlabel("equivalent diameter of aneurysm, mm")
    grid[-1, 1].set_xlabel("age of patient, years")
    figure.align_ylabels()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def _draw_sizes(axes: Any, one: SplitStatistics, own: Sequence[CheckedCase], reach: float) -> None:
    _draw(axes, _sizes(own), BIN_MM, reach, SIZE_COLOUR)
    for limit in SIZE_LIMITS_MM:
        axes.axvline(limit, color=INK, linestyle=":", linewidth=1, zorder=0)
    axes.set_ylabel("aneurysms", color=INK)
    axes.set_title(_title(one.split, "aneurysms", one.diameter_mm, "mm"), fontsize=10, loc="left", color=INK)


def _draw_ages(axes: Any, one: SplitStatistics, own: Sequence[CheckedCase], reach: float) -> None:
    _draw(axes, _ages(own), BIN_YEARS, reach, AGE_COLOUR)
    axes.set_ylabel("cases", color=INK)
    axes.set_title(_title(one.split, "cases of known age", one.age_years, "years"), fontsize=10, loc="left", color=INK)


def _draw(axes: Any, values: Sequence[float], width: float, reach: float, colour: str) -> None:
    from matplotlib.ticker import MaxNLocator

    counts, _, _ = axes.hist(values, np.arange(0, reach + width / 2, width), color=colour, edgecolor="white")
    axes.set_xlim(0, reach)
    axes.set_ylim(0, max(1.0, float(np.max(counts)) * 1.1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelbottom=True)


def _title(split: str, what: str, spread: Spread, unit: str) -> str:
    if spread.mean is None:
        return f"{split}: no {what}"
    shown = f"{spread.mean:.1f}" + (f" ± {spread.sd:.1f}" if spread.sd is not None else "")
    return f"{split}: {spread.count} {what}, {shown} {unit}"


def _sizes(checked: Sequence[CheckedCase]) -> list[float]:
    return [aneurysm.diameter_mm for one in checked for aneurysm in one.aneurysms or ()]


def _ages(checked: Sequence[CheckedCase]) -> list[float]:
    return [one.case.age for one in checked if one.case.age is not None]


def _reach(values: Sequence[float], width: float, least: float) -> float:
    """The end of the bin that the largest value falls into."""
    return max(least, (np.floor(max(values, default=0) / width) + 1) * width)
