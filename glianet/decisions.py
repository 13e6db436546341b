"""Which patches can still change which voxels exceed the threshold.

A voxel's probability is the mean over the n patches that cover it. Each of them adds between 0 and 1: once the sum so
far plus the number of patches still open is not above threshold times n, the voxel is below the threshold whatever the
rest would say. A patch in which every voxel is so decided need not be computed. Where nothing looks like an aneurysm,
five of eight overlapping patches (step 48, threshold 0.5) settle the matter.

Nothing is lost by it: what is left out cannot lift a single voxel above the threshold, and a voxel that is above it in
the end has had every one of its patches computed, so that its mean is the same to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from glianet.window_grid import Index, WindowGrid

ROUNDING = 1e-9
"""Added to a bound on the sum of probabilities, which is exact: float64 is off by less in multiplying the threshold."""

EXPECTED_SUM = 0.5
"""Sum of probabilities that a voxel where there is nothing is given credit for, when patches are put off."""


class Decisions:
    """What is known of the voxels of each cell of the grid, as patches are computed."""

    def __init__(self, grid: WindowGrid, wanted: NDArray[np.bool_], threshold: float) -> None:
        """wanted: (Nz, Ny, Nx), False where a patch counts as 0 throughout. threshold: of the mean probability."""
        self._grid = grid
        self._open = grid.patches_in_cells(wanted)
        covered = grid.patches_in_cells(np.ones_like(wanted))
        self._limit = threshold * covered - ROUNDING
        self._largest = np.zeros(covered.shape)

    def put_off(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(Nz, Ny, Nx): the wanted patches that will most likely turn out not to be needed.

        Chosen by their place alone, so that where nothing is found the others decide every voxel. One after the other
        in their order: of five orders tried this puts off the most (docs/performance.md).
        """
        chosen, count = np.zeros_like(wanted), np.zeros(self._open.shape, np.int64)
        for patch in map(_index, np.argwhere(wanted)):
            cells = self._grid.cells_of(patch)
            if (count[cells] + 1 + EXPECTED_SUM <= self._limit[cells]).all():
                count[cells] += 1
                chosen[patch] = True
        return chosen

    def close(self, patch: Index) -> None:
        """The patch has been added to the sums; `see` has to follow for its cells."""
        self._open[self._grid.cells_of(patch)] -= 1

    def see(self, cells: tuple[slice, slice, slice], largest: NDArray[np.floating]) -> None:
        """The largest sum of probabilities in each of the cells."""
        self._largest[cells] = largest

    def needs(self, patch: Index) -> bool:
        """Whether any voxel of the patch may still exceed the threshold."""
        cells = self._grid.cells_of(patch)
        return bool((self._largest[cells] + self._open[cells] > self._limit[cells]).any())


def _index(numbers: NDArray[np.intp]) -> Index:
    z, y, x = numbers.tolist()
    return z, y, x
