"""Pyramid weights against values worked out by hand."""

import numpy as np
import pytest

from training.pyramid import pyramid_weights
from training.recipe import LossRecipe

PAPER = LossRecipe()


def _cube(side: int, edge: int, start: int = 0) -> np.ndarray:
    labels = np.zeros((side,) * 3, np.uint8)
    labels[start : start + edge, start : start + edge, start : start + edge] = 1
    return labels


def test_three_layers_rise_from_three_to_twenty() -> None:
    # 5^3 erodes to 3^3 and 1: heights 1, 2, 3, so the middle layer lies halfway between 3.0 and 20.0.
    weights = pyramid_weights(_cube(9, 5, 2), PAPER)
    assert weights[4, 4, 4] == pytest.approx(20.0)
    assert weights[3, 4, 4] == pytest.approx(11.5)
    assert weights[2, 4, 4] == pytest.approx(3.0)
    assert weights[1, 4, 4] == 1.0


def test_sum_of_a_small_cube() -> None:
    # 27 voxels: one of height 2 (20.0) and 26 of height 1 (3.0), and 7^3 - 27 background voxels of 1.0.
    assert pyramid_weights(_cube(7, 3, 2), PAPER).sum() == pytest.approx(20.0 + 26 * 3.0 + (343 - 27))


def test_targets_of_400_voxels_and_more_are_fixed() -> None:
    eight = pyramid_weights(_cube(12, 8, 2), PAPER)
    assert np.unique(eight).tolist() == [1.0, 11.5]
    seven = pyramid_weights(_cube(11, 7, 2), PAPER)  # 343 voxels
    assert seven.max() == pytest.approx(20.0)


def test_the_border_of_the_patch_does_not_erode() -> None:
    # 3^3 in the corner loses only the layers that face the background: the corner itself is highest.
    weights = pyramid_weights(_cube(6, 3), PAPER)
    assert weights[0, 0, 0] == pytest.approx(20.0)
    assert weights[1, 1, 1] == pytest.approx(11.5)
    assert weights[2, 2, 2] == pytest.approx(3.0)


def test_a_flat_target_has_the_highest_weight() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[2, 2, 1:4] = 4
    weights = pyramid_weights(labels, PAPER)
    assert weights[2, 2, 1:4].tolist() == [20.0] * 3


def test_touching_targets_are_weighted_apart() -> None:
    labels = np.zeros((5, 5, 8), np.uint8)
    labels[1:4, 1:4, 1:4], labels[1:4, 1:4, 4:7] = 1, 2
    weights = pyramid_weights(labels, PAPER)
    assert weights[2, 2, 2] == weights[2, 2, 5] == pytest.approx(20.0)
    assert weights[2, 2, 3] == weights[2, 2, 4] == pytest.approx(3.0)


def test_without_the_pyramid_every_voxel_weighs_the_same() -> None:
    assert (pyramid_weights(_cube(9, 5, 2), LossRecipe(pyramid=False)) == 1).all()
