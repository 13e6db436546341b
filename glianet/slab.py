"""Adds up overlapping patches over the slices that are being worked on, and over no more.

Sums are whole numbers of a unit of 2^-23: exact, so that the order in which patches are added, and with it the size of
a batch or what was put off, changes no bit of the result. A float32 has no finer steps near 1 either. 255 patches over
a voxel stay below 2^31; where the window moves by less than 20 voxels there may be more, and the sums are int64. (Sums
in float32 did differ: a voxel with two patches at 1 and two at 1e-7 was above one half or not by the order of adding.)
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.errors import BackendError
from glianet.window_grid import Slices, WindowGrid

UNIT = 1 << 23
"""Units of a probability of 1."""


class Slab:
    """Sums of probabilities, (slices, H, W) units on the device, of a stretch of slices that moves to the end.

    Patches may come in any order as long as they lie in the stretch: `move_to` closes the slices before it.
    """

    def __init__(self, grid: WindowGrid, device: torch.device) -> None:
        self._grid = grid
        self._first = 0
        self._sums = torch.zeros((0, *grid.shape[1:]), dtype=_type_for(grid), device=device)
        self._sound = torch.ones((), dtype=torch.bool, device=device)

    def add(self, window: Slices, probability: Tensor) -> None:
        """Adds a patch (96, 96, 96), 0 to 1."""
        self._sound &= (probability.amin() >= 0) & (probability.amax() <= 1)
        self._grow(window[0].stop)
        self._sums[self._inside(window)] += (probability * UNIT).round_().int()

    def largest(self, cells: Slices) -> NDArray[np.float64]:
        """The largest sum of probabilities in each of the cells."""
        cuts = [
            axis.cuts[part.start : part.stop + 1] for axis, part in zip(self._grid.axes, cells, strict=True)
        ]
        self._grow(cuts[0][-1])
        values = self._sums[self._inside(_span(cuts))]
        for axis in range(3):
            edges = [cut - cuts[axis][0] for cut in cuts[axis]]
            lengths = [last - first for first, last in zip(edges[:-1], edges[1:], strict=True)]
            values = torch.stack([part.amax(axis) for part in values.split(lengths, axis)], axis)
        return values.cpu().numpy() / UNIT

    def move_to(self, first: int) -> Tensor:
        """The finished sums, in units, of the slices before `first` that are still here; they are dropped.

        Raises BackendError when any patch so far held a value that is no probability: as a whole number, NaN would be
        0 or less, and an aneurysm below it not be found.
        """
        if not self._sound:
            raise BackendError(
                what="it gave probabilities that are not from 0 to 1, or not a number",
                where="local segmentation network",
                advice="Choose precision float32, or other weights",
            )
        self._grow(first)
        count = first - self._first
        finished, rest = self._sums[:count], self._sums[count:]
        self._sums, self._first = rest.clone(), first
        return finished

    def _inside(self, window: Slices) -> Slices:
        z, y, x = window
        return slice(z.start - self._first, z.stop - self._first), y, x

    def _grow(self, last: int) -> None:
        missing = last - self._first - len(self._sums)
        if missing > 0:
            self._sums = torch.cat((self._sums, self._sums.new_zeros((missing, *self._sums.shape[1:]))))


def _type_for(grid: WindowGrid) -> torch.dtype:
    """Whole numbers that hold the sum of all patches over one voxel."""
    z, y, x = (int(axis.coverage.sum(axis=1).max()) for axis in grid.axes)
    return torch.int32 if z * y * x * UNIT <= torch.iinfo(torch.int32).max else torch.int64


def _span(cuts: list[tuple[int, ...]]) -> Slices:
    z, y, x = (slice(axis[0], axis[-1]) for axis in cuts)
    return z, y, x
