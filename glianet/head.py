"""Where the patient is in a CT volume, roughly, and never too little of it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glianet.tiling import PATCH_SIZE
from glianet.window_grid import WindowGrid
from glianet.windows import AIR_AND_BELOW_HU

BLOCK = 4
"""Voxels along each axis to a block of the coarse volume on which the body is looked for."""

TISSUE_HU = -300
"""A block whose highest value is above it holds tissue: skin and fat are at -100, foam of a headrest is below -500."""

SMALLEST_PART = 0.02
"""A body part that is not connected with the largest is kept when it is at least this fraction of its volume."""

MARGIN_BLOCKS = 2
"""Blocks added around the body in every direction."""


def find_head(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """(D/4, H/4, W/4) bool, rounded up: blocks of 4^3 voxels that hold a part of the patient, with a margin.

    hu: (D, H, W). The largest connected piece of tissue and every other of at least 2 % of its size, so that a head
    apart from shoulders, or a piece of one cut by the field of view, is kept; a table, tubes and noise are not. Filled
    slice by slice, so that air cells, sinuses and the mouth belong to it, and widened by 2 blocks. Where there is no
    tissue at all, nothing is chosen.
    """
    tissue = _coarse_maxima(hu) > TISSUE_HU
    pieces, count = ndimage.label(tissue, np.ones((3, 3, 3)))
    if not count:
        return tissue
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = np.flatnonzero(sizes >= SMALLEST_PART * sizes.max())
    body = np.isin(pieces, kept)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
    return ndimage.binary_dilation(filled, np.ones((3, 3, 3)), iterations=MARGIN_BLOCKS)


def patches_worth_computing(hu: NDArray[np.int16], grid: WindowGrid) -> NDArray[np.bool_]:
    """(Nz, Ny, Nx) bool: the patches of (D, H, W) HU in the head with a voxel above 0 HU; below, all channels are 0."""
    tissue = grid.any_in_patches(grid.cell_maxima(hu) > AIR_AND_BELOW_HU)
    return tissue & patches_with_head(find_head(hu), grid)


def patches_with_head(head: NDArray[np.bool_], grid: WindowGrid) -> NDArray[np.bool_]:
    """(Nz, Ny, Nx) bool: the patches of which any voxel lies in a chosen block of `find_head`."""
    ends = [_block_ranges(axis.starts) for axis in grid.axes]
    padded = np.pad(head.astype(np.int32), ((1, 0),) * 3).cumsum(0).cumsum(1).cumsum(2)
    counts = padded
    for axis, (first, last) in enumerate(ends):
        counts = counts.take(np.minimum(last, head.shape[axis]), axis) - counts.take(first, axis)
    return counts > 0


def _coarse_maxima(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """The highest value of each block."""
    starts = [range(0, length, BLOCK) for length in hu.shape]
    rows = []
    for first in starts[0]:
        plane = hu[first : first + BLOCK].max(axis=0)
        plane = np.maximum.reduceat(plane, starts[1], axis=0)
        rows.append(np.maximum.reduceat(plane, starts[2], axis=1))
    return np.stack(rows)


def _block_ranges(starts: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Half-open range of the blocks that a patch from each start touches."""
    first = np.array(starts)
    return first // BLOCK, -(-(first + PATCH_SIZE) // BLOCK)
