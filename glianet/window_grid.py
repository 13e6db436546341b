"""The positions of the sliding window over one volume, and the cells that their edges cut the volume into.

Along an axis of 150 voxels, patch 96, step 48:

    patch 0   |==============|
    patch 1          |==============|
    patch 2            |==============|          flush with the end
    cells     |  0   |1|  2  | 3 |  4 |          every voxel of a cell lies in the same patches
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from glianet.tiling import PATCH_SIZE, patch_starts

Index = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class AxisGrid:
    """One axis. starts: first voxel of each patch; cuts: first voxel of each cell, and the length of the axis."""

    starts: tuple[int, ...]
    cuts: tuple[int, ...]

    @property
    def coverage(self) -> NDArray[np.int64]:
        """(cells, patches): 1 where the patch holds the cell."""
        cells, patches = np.array(self.cuts[:-1])[:, np.newaxis], np.array(self.starts)[np.newaxis]
        return ((cells >= patches) & (cells < patches + PATCH_SIZE)).astype(np.int64)

    def cells_of(self, patch: int) -> slice:
        """The cells that a patch holds; they lie side by side."""
        first = self.cuts.index(self.starts[patch])
        return slice(first, self.cuts.index(self.starts[patch] + PATCH_SIZE))


@dataclass(frozen=True)
class WindowGrid:
    """All positions of the window: patches and cells are counted along the axes (z, y, x)."""

    shape: Index
    axes: tuple[AxisGrid, AxisGrid, AxisGrid]

    @property
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        z, y, x = (axis.starts for axis in self.axes)
        return z, y, x

    @property
    def patches(self) -> Index:
        """Numbers of positions along the axes."""
        z, y, x = (len(axis.starts) for axis in self.axes)
        return z, y, x

    def __iter__(self) -> Iterator[Index]:
        """Every position, by its numbers along the axes."""
        z, y, x = (range(count) for count in self.patches)
        return product(z, y, x)

    def start(self, patch: Index) -> Index:
        """First voxel of a patch."""
        z, y, x = (axis.starts[number] for axis, number in zip(self.axes, patch, strict=True))
        return z, y, x

    def window(self, patch: Index) -> Slices:
        """Voxels of a patch."""
        z, y, x = (slice(first, first + PATCH_SIZE) for first in self.start(patch))
        return z, y, x

    def cells_of(self, patch: Index) -> Slices:
        """Cells of a patch."""
        z, y, x = (axis.cells_of(number) for axis, number in zip(self.axes, patch, strict=True))
        return z, y, x

    def patches_in_cells(self, patches: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each cell, how many of the chosen patches hold it."""
        z, y, x = (axis.coverage for axis in self.axes)
        return np.einsum("az,by,cx,zyx->abc", z, y, x, patches.astype(np.int64), optimize=True)

    def any_in_patches(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """For each patch, whether any of its cells is chosen."""
        z, y, x = (axis.coverage for axis in self.axes)
        return np.einsum("az,by,cx,abc->zyx", z, y, x, cells.astype(np.int64), optimize=True) > 0

    def cell_maxima(self, hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """(cells along z, y, x): the highest HU of a volume (D, H, W) in each cell. Copies no more than a slice."""
        depth, height, width = self.axes
        rows = []
        for first, last in zip(depth.cuts[:-1], depth.cuts[1:], strict=True):
            plane = hu[first:last].max(axis=0)
            plane = np.maximum.reduceat(plane, height.cuts[:-1], axis=0)
            rows.append(np.maximum.reduceat(plane, width.cuts[:-1], axis=1))
        return np.stack(rows)


def window_grid(shape: Index, step: int) -> WindowGrid:
    """The grid of a volume of `shape`, at least 96 along each axis. Raises VolumeError for a smaller one."""
    z, y, x = (_axis_grid(length, step) for length in shape)
    return WindowGrid(shape, (z, y, x))


def _axis_grid(length: int, step: int) -> AxisGrid:
    starts = patch_starts(length, PATCH_SIZE, step)
    ends = {start + PATCH_SIZE for start in starts}
    return AxisGrid(starts, tuple(sorted({*starts, *ends})))
