"""The whole volume as the global positioning network sees it: 96^3 voxels, same aspect ratio, padded to a cube."""

import numpy as np
from numpy.typing import NDArray

from glianet.tiling import GLOBAL_SIZE, cube_padding


def resample_global(hu: NDArray[np.int16], size: int = GLOBAL_SIZE) -> NDArray[np.float32]:
    """(D, H, W) HU -> (size, size, size) float32, HU.

    As if the volume were padded with its lowest value to a cube around its centre and resampled trilinearly with
    half-pixel centres and without anti-aliasing (Supplemental Experimental Procedures, Input Transformation). The cube
    is never built: only the 2 x 2 x 2 voxels around each sample are read.
    """
    cube, before = cube_padding(hu.shape)
    lower, weight = _samples(cube, size)
    corners = _gather(hu, np.stack((lower, np.minimum(lower + 1, cube - 1)), axis=1).ravel(), before)
    for axis in range(3):
        corners = _interpolate(corners, weight, axis)
    return corners


def _samples(cube: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Lower neighbour of each of `size` samples along an edge of the cube, and the weight of the upper one."""
    position = ((np.arange(size) + 0.5) * (cube / size) - 0.5).clip(0, cube - 1)
    lower = np.floor(position).astype(np.intp)
    return lower, (position - lower).astype(np.float32)


def _gather(
    hu: NDArray[np.int16], wanted: NDArray[np.intp], before: tuple[int, int, int]
) -> NDArray[np.float32]:
    """Voxels of the cube at `wanted` x `wanted` x `wanted`; the volume's lowest value outside the volume."""
    inside = [
        (wanted >= first) & (wanted < first + length) for first, length in zip(before, hu.shape, strict=True)
    ]
    gathered = np.full((len(wanted),) * 3, hu.min(), np.float32)
    own = [wanted[within] - first for within, first in zip(inside, before, strict=True)]
    gathered[np.ix_(*inside)] = hu[np.ix_(*own)]
    return gathered


def _interpolate(corners: NDArray[np.float32], weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Joins the pairs of neighbours along an axis: 2 * size -> size."""
    pairs = np.moveaxis(corners, axis, 0)
    upper_weight = weight[:, np.newaxis, np.newaxis]
    joined = pairs[0::2] * (1 - upper_weight) + pairs[1::2] * upper_weight
    return np.moveaxis(joined, 0, axis)
