"""Curves of a model: of one run as they are, of several runs the mean at each threshold."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.metrics.curves import Curve, precision_recall_curve, roc_curve
from training.metrics.summary import froc_points, pool_voxels
from training.metrics.voxels import VoxelHistograms
from training.tables.estimates import ModelEstimates

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
"""x and y."""


def mean_roc(model: ModelEstimates) -> Line | None:
    """False-positive rate and recall; None without voxels of both kinds."""
    return _mean(model, roc_curve)


def mean_precision_recall(model: ModelEstimates) -> Line | None:
    """Recall and precision; None without true voxels."""
    return _mean(model, precision_recall_curve)


def mean_froc(model: ModelEstimates) -> list[tuple[float, float | None, float]]:
    """(threshold, target-wise recall, false positives a case). Runs have the same cases: all have a recall or none."""
    return [
        (points[0][0], None if points[0][1] is None else _average(points, 1), _average(points, 2))
        for points in zip(*(froc_points(run.scores) for run in model.runs), strict=True)
    ]


def _mean(model: ModelEstimates, curve: Callable[[VoxelHistograms], Curve | None]) -> Line | None:
    found = [curve(pool_voxels(run.scores)[1]) for run in model.runs]
    curves = [one for one in found if one is not None]
    if not curves:
        return None
    return np.mean([one.x for one in curves], axis=0), np.mean([one.y for one in curves], axis=0)


def _average(points: tuple[tuple[float, float | None, float], ...], which: int) -> float:
    return float(np.mean([point[which] for point in points]))
