"""What the network says about a volume, before any of it is called a lesion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glianet.tiling import PATCH_SIZE


@dataclass(frozen=True, eq=False)
class Scores:
    """Result of the sliding window.

    probability: (D, H, W) float32, 0 to 1: mean aneurysm probability over the patches that cover a voxel.
    patch_risk: (Nz, Ny, Nx) float32, 0 to 1: risk of the patch at each position of the window.
    starts: index of the first voxel of the patches along each axis; negative where a small volume was padded.
    step, exact: as in the settings. patches_computed + patches_skipped = Nz * Ny * Nx.
    """

    probability: NDArray[np.float32]
    patch_risk: NDArray[np.float32]
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    step: int
    exact: bool
    patches_computed: int
    patches_skipped: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.probability.shape
        return depth, height, width

    @property
    def risk(self) -> NDArray[np.float32]:
        """The risk map, made anew each time it is asked for."""
        return self.risk_map()

    def risk_map(self) -> NDArray[np.float32]:
        """(D, H, W) float32, 0 to 1: mean risk of the patches that cover a voxel (paper, Figure 6)."""
        along_z, along_y, along_x = (
            covered / covered.sum(axis=1, keepdims=True)
            for covered in map(coverage, self.starts, self.probability.shape)
        )
        planes = along_y @ self.patch_risk @ along_x.T
        return np.tensordot(along_z, planes, axes=1)

    def risk_at(self, index: Sequence[int]) -> float:
        """Mean risk of the patches that cover the voxel (k, j, i); 0 to 1."""
        covering = [
            [start <= voxel < start + PATCH_SIZE for start in starts]
            for voxel, starts in zip(index, self.starts, strict=True)
        ]
        return float(self.patch_risk[np.ix_(*covering)].mean(dtype=np.float64))


def coverage(starts: Sequence[int], length: int) -> NDArray[np.float32]:
    """(length, number of starts) float32: 1 where the patch covers the voxel of this axis, else 0."""
    voxels, first = np.arange(length)[:, np.newaxis], np.asarray(starts)[np.newaxis]
    return ((voxels >= first) & (voxels < first + PATCH_SIZE)).astype(np.float32)
