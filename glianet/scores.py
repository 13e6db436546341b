"""What the network says about a volume, before any of it is called a lesion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glianet.tiling import PATCH_SIZE

Starts = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class RiskGrid:
    """Risk of the patch at each position of a window.

    values: (Nz, Ny, Nx) float32, 0 to 1. starts: index of the first voxel of the patches along each axis; negative
    where a small volume was padded.
    """

    values: NDArray[np.float32]
    starts: Starts

    def to_map(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """(D, H, W) float32, 0 to 1: mean risk of the patches that cover a voxel (paper, Figure 6)."""
        depth, height, width = map(range, shape)
        return self.to_grid((depth, height, width))

    def to_grid(self, indices: tuple[Sequence[int], Sequence[int], Sequence[int]]) -> NDArray[np.float32]:
        """As `to_map`, of the voxels (k, j, i) of a coarser grid: these indices along each axis."""
        along_z, along_y, along_x = (
            covered / covered.sum(axis=1, keepdims=True) for covered in map(_covering, self.starts, indices)
        )
        planes = along_y @ self.values @ along_x.T
        return np.tensordot(along_z, planes, axes=1)

    def at(self, index: Sequence[int]) -> float:
        """Mean risk of the patches that cover the voxel (k, j, i); 0 to 1."""
        covering = [
            [start <= voxel < start + PATCH_SIZE for start in starts]
            for voxel, starts in zip(index, self.starts, strict=True)
        ]
        return float(self.values[np.ix_(*covering)].mean(dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Scores:
    """Result of the sliding window.

    probability: (D, H, W) float32, 0 to 1: mean aneurysm probability over the patches that cover a voxel. With a
    threshold, that of the voxels strictly above it, and 0 elsewhere: the system gives no memory to what is 0.
    risk: at each position of the window. fine_risk: at the positions of the risk map, where it was asked for.
    step, exact, threshold: as in the settings. patches_computed + patches_skipped is the number of positions.
    computation: how, for records.
    """

    probability: NDArray[np.float32]
    risk: RiskGrid
    fine_risk: RiskGrid | None
    step: int
    exact: bool
    threshold: float | None
    patches_computed: int
    patches_skipped: int
    computation: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        depth, height, width = self.probability.shape
        return depth, height, width


def coverage(starts: Sequence[int], length: int) -> NDArray[np.float32]:
    """(length, number of starts) float32: 1 where the patch covers the voxel of this axis, else 0."""
    return _covering(starts, range(length))


def _covering(starts: Sequence[int], indices: Sequence[int]) -> NDArray[np.float32]:
    """(voxels, number of starts) float32: 1 where the patch covers the voxel of this index, else 0."""
    voxels, first = np.asarray(indices)[:, np.newaxis], np.asarray(starts)[np.newaxis]
    return ((voxels >= first) & (voxels < first + PATCH_SIZE)).astype(np.float32)
