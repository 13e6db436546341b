"""Turns finished sums of patches into the probabilities that are kept."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.slab import UNIT


class ProbabilityStore:
    """Takes the sums of patches as slabs of slices are finished, and keeps of their means what is wanted."""

    def __init__(self, shape: tuple[int, int, int], before: Sequence[int], threshold: float | None) -> None:
        """shape: of the volume. before: voxels that were padded before it. threshold: as in `Scores`."""
        self.probability = np.zeros(shape, np.float32)
        self._before = before
        self._threshold = threshold

    def put(self, first: int, sums: Tensor, counts: Sequence[NDArray[np.float32]]) -> None:
        """sums: (slices, H, W) int32 or int64 in units of `glianet.slab`, of the padded volume from slice `first` on.

        counts: patches that cover each voxel, by axis.
        """
        along_z, along_y, along_x = counts
        plane = torch.from_numpy(np.outer(along_y, along_x).astype(np.float64) * UNIT).to(sums.device)
        (top, left), (depth, height, width) = self._before[1:], self.probability.shape
        for number, total in enumerate(sums, start=first):
            k = number - self._before[0]
            if 0 <= k < depth:
                mean = total / (plane * float(along_z[number]))
                self._keep(k, mean[top : top + height, left : left + width])

    def _keep(self, k: int, mean: Tensor) -> None:
        """mean: (H, W) float64."""
        if self._threshold is None:
            self.probability[k] = mean.float().cpu().numpy()
            return
        above = mean > self._threshold
        rows, columns = (index.cpu().numpy() for index in above.nonzero(as_tuple=True))
        if len(rows):
            self.probability[k, rows, columns] = mean[above].float().cpu().numpy()
