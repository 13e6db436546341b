"""ROC and precision-recall curves, and the areas under them, from histograms of scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.voxels import VoxelHistograms

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Points (x, y) from the lowest threshold to the highest, with the end points; the area by the trapezoid rule."""

    x: Values
    y: Values

    @property
    def area(self) -> float:
        """0 to 1."""
        return float(0.0 - np.trapezoid(self.y, self.x))  # never -0


def roc_curve(histograms: VoxelHistograms) -> Curve | None:
    """False-positive rate against recall, from (1, 1) to (0, 0). None without voxels of both kinds."""
    tp, fp = _above(histograms.positive), _above(histograms.negative)
    positives, negatives = histograms.positive.sum(), histograms.negative.sum()
    if not positives or not negatives:
        return None
    return Curve(np.r_[1, fp / negatives, 0], np.r_[1, tp / positives, 0])


def precision_recall_curve(histograms: VoxelHistograms) -> Curve | None:
    """Recall against precision, from (1, 0) to (0, 1). None without true voxels.

    Where no voxel is above a threshold, precision counts as 1.
    """
    tp, fp = _above(histograms.positive), _above(histograms.negative)
    positives = histograms.positive.sum()
    if not positives:
        return None
    precision = np.divide(tp, tp + fp, out=np.ones(len(tp)), where=tp + fp > 0)
    return Curve(np.r_[1, tp / positives, 0], np.r_[0, precision, 1])


def _above(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """(200,) how many scores are above each threshold."""
    return histogram[::-1].cumsum()[::-1][1:]
