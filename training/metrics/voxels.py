"""Counts voxels: true and false, positive and negative, at one threshold and at all of a curve."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5
"""A voxel above it is taken for an aneurysm's (paper, page 7)."""

CURVE_THRESHOLDS: NDArray[np.float64] = np.linspace(0, 1, 202)[1:-1]
"""At which the points of ROC and precision-recall curves are taken."""

SLICES_AT_ONCE = 32
"""Voxels are looked at so many slices at a time: memory does not grow with the volume."""

Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class VoxelCounts:
    """Voxels by truth and prediction. Rates are None where nothing is there to be divided by."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: "VoxelCounts") -> "VoxelCounts":
        return VoxelCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @classmethod
    def of(cls, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> "VoxelCounts":
        """Of two masks of the same shape."""
        tp, positives, true_voxels = (int(np.count_nonzero(mask)) for mask in (truth & found, found, truth))
        return cls(tp, positives - tp, true_voxels - tp, truth.size - positives - true_voxels + tp)

    @property
    def precision(self) -> float | None:
        """Share of the predicted voxels that are true."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the true voxels that are predicted."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def dsc(self) -> float | None:
        """Dice similarity coefficient."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, eq=False)
class VoxelHistograms:
    """How many voxels of each kind lie between two thresholds of `CURVE_THRESHOLDS`.

    positive, negative: (201,) int64 of the true and the other voxels; entry i counts scores above i thresholds.
    They add up over cases.
    """

    positive: Histogram
    negative: Histogram

    def __add__(self, other: "VoxelHistograms") -> "VoxelHistograms":
        return VoxelHistograms(self.positive + other.positive, self.negative + other.negative)


def count_voxels(
    truth: NDArray[np.bool_], probability: NDArray[np.floating], threshold: float = THRESHOLD
) -> tuple[VoxelCounts, VoxelHistograms]:
    """Counts of truth (D, H, W) and probability (D, H, W), 0 to 1; above the threshold is positive.

    Raises ValueError where a probability is no number from 0 to 1.
    """
    counts = VoxelCounts(0, 0, 0, 0)
    histograms = VoxelHistograms(*np.zeros((2, len(CURVE_THRESHOLDS) + 1), np.int64))
    for true, score in _slabs(truth, probability):
        if not (score.min() >= 0 and score.max() <= 1):  # also where one is not a number
            raise ValueError("probabilities are not all numbers from 0 to 1")
        counts += VoxelCounts.of(true, score > threshold)
        histograms += VoxelHistograms(_histogram(score[true]), _histogram(score[~true]))
    return counts, histograms


def ratio(part: float, whole: float) -> float | None:
    """part / whole; None where the whole is 0."""
    return part / whole if whole else None


def _slabs(
    truth: NDArray[np.bool_], probability: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.floating]]]:
    for first in range(0, len(truth), SLICES_AT_ONCE):
        part = slice(first, first + SLICES_AT_ONCE)
        yield truth[part], probability[part]


def _histogram(scores: NDArray[np.floating]) -> Histogram:
    """Most voxels of a scan score 0: they need no search."""
    some = scores[scores > CURVE_THRESHOLDS[0]]
    counts = np.bincount(np.searchsorted(CURVE_THRESHOLDS, some, side="left"), minlength=len(CURVE_THRESHOLDS) + 1)
    counts[0] += len(scores) - len(some)
    return counts
