"""Pyramid weights: a small target's voxels count more towards its centre (paper, page 11 and Figure S4)."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LOWEST, HIGHEST = 3.0, 20.0
"""Weights at the edge and in the centre of a target under SMALL_TARGET_VOXELS."""
FIXED = 11.5
"""Weight of every voxel of a larger target. The supplement has the two exchanged; the main text holds."""
NEGATIVE = 1.0
SMALL_TARGET_VOXELS = 400

_NEIGHBOURHOOD = np.ones((3, 3, 3), bool)


def pyramid_weights(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Cross-entropy weights (D, H, W) float32 for target numbers (D, H, W), 0 the background.

    Each target under 400 voxels is eroded with a 3x3x3 cube until nothing is left; the erosions summed up are
    the height of each voxel, and heights from 1 to the greatest become 3.0 to 20.0. The patch's border does
    not erode. A target of one height has the highest weight.
    """
    weights = np.full(labels.shape, NEGATIVE, np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            around = _grown(box, labels.shape)
            target = labels[around] == number
            small = target.sum() < SMALL_TARGET_VOXELS
            weights[around][target] = _scaled_heights(target)[target] if small else FIXED
    return weights


def _grown(box: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(box, shape, strict=True))


def _scaled_heights(target: NDArray[np.bool_]) -> NDArray[np.float64]:
    heights, remaining = np.zeros(target.shape), target
    while remaining.any() and not remaining.all():
        heights += remaining
        remaining = ndimage.binary_erosion(remaining, _NEIGHBOURHOOD, border_value=1)
    greatest = heights.max()
    if greatest <= 1:
        return np.full(target.shape, HIGHEST)
    return LOWEST + (heights - 1) * (HIGHEST - LOWEST) / (greatest - 1)
