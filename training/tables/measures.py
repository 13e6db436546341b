"""The figures that tables show: heading, unit, which way is better, and why one can be undefined."""

from dataclasses import dataclass
from typing import Literal

from training.metrics.case_score import SIZE_NAMES
from training.metrics.intervals import Interval
from training.metrics.named_figures import fps_of_size, recall_of_size

Unit = Literal["%", "mm", "count", "per case", "s"]

MINUS = "\N{MINUS SIGN}"
MOST_DIGITS = 4
"""After the point, of a difference."""
ARROWS = {"high": "↑", "low": "↓"}


@dataclass(frozen=True)
class Measure:
    """A figure. name: as in `named_figures`; better: which way; undefined: what is missing where it has no value."""

    name: str
    heading: str
    unit: Unit
    better: Literal["high", "low"]
    undefined: str = "it cannot be computed"

    @property
    def title(self) -> str:
        """Heading with arrow and unit."""
        unit = f", {self.unit}" if self.unit in ("%", "mm", "s") else ""
        return f"{self.heading} {ARROWS[self.better]}{unit}"

    def best(self, values: list[float | None]) -> list[bool]:
        """Which of the values are the best; none where all that are known are alike."""
        known = [value for value in values if value is not None]
        if len(set(known)) < 2:
            return [False] * len(values)
        best = max(known) if self.better == "high" else min(known)
        return [value == best for value in values]


NO_TRUE_VOXEL = "no voxel is true"
NO_ANEURYSM = "no case has an aneurysm"

VOXEL_WISE = (
    Measure("precision", "Precision", "%", "high", "no voxel is predicted"),
    Measure("recall", "Recall", "%", "high", NO_TRUE_VOXEL),
    Measure("dsc", "DSC", "%", "high", "no voxel is true or predicted"),
    Measure("hd95_mm", "95 % HD", "mm", "low", "in no case are there both true and predicted voxels"),
    Measure("auc", "AUC", "%", "high", NO_TRUE_VOXEL),
    Measure("ap", "AP", "%", "high", NO_TRUE_VOXEL),
)
TARGET_RECALL = Measure("target_recall", "Recall", "%", "high", "there is no true aneurysm")
TARGET_PRECISION = Measure("target_precision", "Precision", "%", "high", "nothing is predicted")
FPS_PER_CASE = Measure("fps_per_case", "FPs per case", "per case", "low")
FROC_SCORE = Measure("froc_score", "FROC score", "%", "high", "there is no true aneurysm")
TARGET_WISE = (
    Measure("target_tp", "TPs", "count", "high"),
    Measure("target_fp", "FPs", "count", "low"),
    Measure("target_fn", "FNs", "count", "low"),
    TARGET_RECALL,
    FPS_PER_CASE,
    FROC_SCORE,
)
SENSITIVITY = Measure("sensitivity", "Sensitivity", "%", "high", NO_ANEURYSM)
SPECIFICITY = Measure("specificity", "Specificity", "%", "high", "every case has an aneurysm")
ACCURACY = Measure("accuracy", "Accuracy", "%", "high")
CASE_WISE = (SENSITIVITY, SPECIFICITY, ACCURACY)
DSC = VOXEL_WISE[2]
SIDE_BY_SIDE: tuple[tuple[str, Measure], ...] = (
    *(("Voxel-wise", one) for one in VOXEL_WISE),
    *(("Target-wise", one) for one in (TARGET_RECALL, FPS_PER_CASE, FROC_SCORE)),
)
"""The paper's Table S1, and the FROC score, with the kind of each."""
BY_SIZE = {
    size: (
        Measure(recall_of_size(size), "Recall", "%", "high", "no aneurysm has this size"),
        Measure(fps_of_size(size), "FPs per case", "per case", "low", "no aneurysm has this size"),
    )
    for size in SIZE_NAMES
}


def interval_text(interval: Interval, unit: Unit) -> str:
    """Such as "58.3 (55.0–61.0)" for 0.583 (0.55 to 0.61) in %; limits are cut off where the figure ends."""
    if interval.low is None or interval.high is None:
        return number_text(interval.value, unit)
    highest = 1.0 if unit == "%" else interval.high
    parts = (interval.value, max(interval.low, 0.0), min(interval.high, highest))
    whole = all(part == round(part) for part in parts)
    value, low, high = (number_text(part, unit, whole=whole) for part in parts)
    return f"{value} ({low}–{high})"


def difference_text(difference: Interval, unit: Unit) -> str:
    """Such as "+8.3 (−1.0 to +17.5)", rates in percentage points, with as many digits as show a limit that is not 0."""
    scale, digits = 100 if unit == "%" else 1, 2 if unit == "per case" else 1
    value = scale * difference.value
    if difference.low is None or difference.high is None:
        return _signed(value, digits)
    low, high = scale * difference.low, scale * difference.high
    while digits < MOST_DIGITS and any(limit and not round(limit, digits) for limit in (low, high)):
        digits += 1
    return f"{_signed(value, digits)} ({_signed(low, digits)} to {_signed(high, digits)})"


def _signed(value: float, digits: int) -> str:
    rounded = round(value, digits)
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else ''}{abs(rounded):.{digits}f}"


def number_text(value: float, unit: Unit, *, whole: bool = True) -> str:
    """Three digits, as the paper has them, and more close below 100 %. whole: show a whole count as one."""
    if unit == "count":
        return f"{value:.0f}" if whole and value == round(value) else f"{value:.1f}"
    if unit == "%":
        return _percentage(100 * value)
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _percentage(value: float) -> str:
    """0 and 100 stand for nothing and all: what comes close to either is not rounded to it."""
    if value in (0, 100):
        return f"{value:.0f}"
    if value < 0.005:
        return "<0.01"
    if value >= 99.95:
        return f"{value:.3f}" if value < 99.9995 else ">99.999"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
