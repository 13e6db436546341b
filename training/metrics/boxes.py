"""The part of a volume that holds anything."""

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, ...]


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around the true voxels of (D, H, W); None without any."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not len(found):
            return None
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(box)


def grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    """The box with a margin on every side, within the volume's shape."""
    return tuple(
        slice(max(side.start - margin, 0), min(side.stop + margin, length))
        for side, length in zip(box, shape, strict=True)
    )
