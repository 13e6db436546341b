"""The published code's own figures for four masks that a formula makes."""

import numpy as np
import pytest

from tests.training.metrics.made_masks import SPACING_MM, made_masks
from training.metrics.curves import precision_recall_curve, roc_curve
from training.metrics.surface import hausdorff_95_mm
from training.metrics.targets import match_targets
from training.metrics.voxels import THRESHOLD, VoxelCounts, count_voxels

# seed: truth voxels, sum of probability, (tp, fp, fn, tn), 95 % HD in mm, targets (tp, fp, fn), AUC, AP.
PUBLISHED = {
    0: (2296, 1287.717578, (715, 398, 1581, 504186), 12.603539117, (3, 2, 1), 0.708245039, 0.383141756),
    1: (928, 474.550742, (332, 38, 596, 505914), 7.973596294, (2, 2, 1), 0.873319864, 0.678325117),
    2: (2161, 1661.862731, (1076, 380, 1085, 504339), 10.189733712, (4, 1, 1), 0.833540916, 0.600875854),
    3: (1155, 1594.079390, (916, 479, 239, 505246), 1.199999980, (5, 1, 0), 0.998040915, 0.819414556),
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_the_published_figures(seed: int) -> None:
    voxels, total, counted, distance, targets, auc, ap = PUBLISHED[seed]
    truth, probability = made_masks(seed)
    assert truth.sum() == voxels and probability.sum() == pytest.approx(total, abs=1e-5)
    counts, histograms = count_voxels(truth, probability)
    assert counts == VoxelCounts(*counted)
    assert hausdorff_95_mm(truth, probability > THRESHOLD, SPACING_MM) == pytest.approx(distance, abs=2e-9)
    matches = match_targets(truth, probability, THRESHOLD)
    assert (matches.tp, matches.fp, matches.fn) == targets
    roc, precision_recall = roc_curve(histograms), precision_recall_curve(histograms)
    assert roc is not None and roc.area == pytest.approx(auc, abs=1e-6)
    assert precision_recall is not None and precision_recall.area == pytest.approx(ap, abs=1e-6)


def test_the_type_of_the_probability_changes_nothing() -> None:
    truth, probability = made_masks(1)
    counts, histograms = count_voxels(truth, probability.astype(np.float32))
    assert counts == VoxelCounts(*PUBLISHED[1][2])
    assert roc_curve(histograms).area == pytest.approx(PUBLISHED[1][5], abs=1e-6)  # type: ignore[union-attr]
