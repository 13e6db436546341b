"""Where the sliding window stands, and where that is in the global image.

length 150, patch 96, step 48          padded cube around the centre, 96 voxels of the global image across

0              95                        +--------------------------+  box = (start, end) of the patch in the
|--------------|                         |      +------+            |        cube, times 96 / cube,
      48             143                 |......|patch |............|        rounded; both ends inclusive
      |--------------|                   |......+------+............|
        54             149               +--------------------------+
        |--------------|  flush with the end
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glianet.errors import VolumeError

PATCH_SIZE = 96
"""Voxels of a patch along each axis."""
GLOBAL_SIZE = 96
"""Voxels of the global image along each axis."""

Box = tuple[int, int, int, int, int, int]
"""(z0, z1, y0, y1, x0, x1) in voxels of the global image, both ends inclusive."""


def patch_starts(length: int, patch: int = PATCH_SIZE, step: int = 48) -> tuple[int, ...]:
    """First index of each patch along an axis of `length` voxels: every `step`, and one flush with the end.

    Raises VolumeError when the axis is shorter than the patch; pad first (`pad_to_patch`).
    """
    if length < patch:
        raise VolumeError(what=f"{length} voxels are fewer than a patch of {patch}", where="sliding window")
    return (*range(0, length - patch, step), length - patch)


def cube_padding(shape: Sequence[int]) -> tuple[int, tuple[int, int, int]]:
    """Edge of the cube around the volume's centre, and how many voxels of it lie before the volume on each axis.

    Where the number of missing voxels is odd, the additional one lies behind the volume.
    """
    cube = max(shape)
    before_z, before_y, before_x = ((cube - length) // 2 for length in shape)
    return cube, (before_z, before_y, before_x)


def global_box(start: Sequence[int], shape: Sequence[int], patch: int | Sequence[int] = PATCH_SIZE) -> Box:
    """Box in the 96^3 global image of the patch that begins at voxel `start` of a volume of `shape`.

    patch: edge of the patch in voxels, or one for each axis.
    """
    cube, before = cube_padding(shape)
    edges = (patch,) * 3 if isinstance(patch, int) else tuple(patch)
    z, y, x = (
        _global_ends(first + pad, edge, cube) for first, pad, edge in zip(start, before, edges, strict=True)
    )
    return (*z, *y, *x)


def pad_to_patch(
    hu: NDArray[np.int16], patch: int = PATCH_SIZE
) -> tuple[NDArray[np.int16], tuple[int, int, int]]:
    """The volume with at least `patch` voxels along each axis, and the index of its first voxel in there.

    hu: (D, H, W) HU. What is added lies around the volume's centre and has the volume's lowest value (air, in a
    head CT), as in the global image. The array itself comes back when nothing is to be added.
    """
    missing = [max(0, patch - length) for length in hu.shape]
    before = (missing[0] // 2, missing[1] // 2, missing[2] // 2)
    if not any(missing):
        return hu, before
    widths = [(first, total - first) for first, total in zip(before, missing, strict=True)]
    return np.pad(hu, widths, constant_values=hu.min()), before


def _global_ends(first: int, length: int, cube: int) -> tuple[int, int]:
    start, end = (round(voxel * GLOBAL_SIZE / cube) for voxel in (first, first + length))
    return start, end - 1
