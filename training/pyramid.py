"""Pyramid weights: a small target's voxels count more towards its centre (paper, page 11 and Figure S4)."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.recipe import LossRecipe

_NEIGHBOURHOOD = np.ones((3, 3, 3), bool)


def pyramid_weights(labels: NDArray[np.integer], recipe: LossRecipe) -> NDArray[np.float32]:
    """Cross-entropy weights (D, H, W) float32 for target numbers (D, H, W), 0 the background; 1 without the pyramid.

    Each target under 400 voxels is eroded with a 3x3x3 cube until nothing is left; the erosions summed up are
    the height of each voxel, and heights from 1 to the greatest become 3.0 to 20.0. The patch's border does
    not erode. A target of one height has the highest weight. The supplement has small and large exchanged; the main
    text holds.
    """
    if not recipe.pyramid:
        return np.ones(labels.shape, np.float32)
    weights = np.full(labels.shape, recipe.negative, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            around = _grown(box, labels.shape)
            target = labels[around] == number
            small = target.sum() < recipe.small_voxels
            weights[around][target] = _scaled_heights(target, recipe)[target] if small else recipe.fixed
    return weights


def _grown(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True))


def _scaled_heights(target: NDArray[np.bool_], recipe: LossRecipe) -> NDArray[np.float64]:
    heights, remaining = np.zeros(target.shape), target
    while remaining.any() and not remaining.all():
        heights += remaining
        remaining = ndimage.binary_erosion(remaining, _NEIGHBOURHOOD, border_value=1)
    greatest = heights.max()
    if greatest <= 1:
        return np.full(target.shape, recipe.highest)
    return recipe.lowest + (heights - 1) * (recipe.highest - recipe.lowest) / (greatest - 1)
