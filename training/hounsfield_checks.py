"""Whether the voxels of an image can be HU of a head CT."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

AIR_BELOW_HU = -200
"""A head CT has air around the head and in the sinuses, -1000 HU, and padding lies lower still. From here to 0 there is
fat at most: an image with nothing below was clipped, windowed or scaled, or holds stored values without intercept."""

DENSE_HU = (100, 3071)
"""Contrast and bone; 3071 is the highest of 12 bits less 1024. Beyond lies metal at most."""

LEAST_DENSE_SHARE = 1e-4
"""Of all voxels. A skull alone is hundreds of times more; HU with the intercept applied twice have hardly any."""

INTEGERS = np.iinfo(np.int16)
"""Training and analysis keep HU as int16: what lies beyond would be cut off."""

SLICES_AT_ONCE = 32
"""Voxels are looked at so many slices at a time: memory does not grow with the volume."""


def hounsfield_problems(values: NDArray[Any]) -> list[str]:
    """Why finite values (D, H, W) cannot be HU of a head CT, and what to do; empty where they can."""
    parts = list(_slabs(values))
    lowest = float(min(part.min() for part in parts))
    highest = float(max(part.max() for part in parts))
    if lowest == highest:
        return [f"every voxel is {lowest:g}; export it again"]
    held = f"it holds values from {lowest:g} to {highest:g}"
    if lowest >= -1 and highest <= 1:
        return [f"{held}: it was scaled; give HU"]
    if lowest >= 0:
        return [f"{held}: stored values without their intercept, or a window; give HU (often 1024 less)"]
    if lowest >= AIR_BELOW_HU:
        return [f"{held}, and no air below {AIR_BELOW_HU} HU: it was clipped or windowed; give unclipped HU"]
    if lowest < INTEGERS.min or highest > INTEGERS.max:
        return [f"{held}; HU must lie from {INTEGERS.min} to {INTEGERS.max}"]
    share = sum(_dense(part) for part in parts) / values.size
    if share < LEAST_DENSE_SHARE:
        return [f"{share:.2g} of its voxels lie from {DENSE_HU[0]} to {DENSE_HU[1]} HU: it shows no bone; give HU"]
    return []


def _slabs(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for first in range(0, len(values), SLICES_AT_ONCE):
        yield values[first : first + SLICES_AT_ONCE]


def _dense(part: NDArray[Any]) -> int:
    return int(np.count_nonzero((part >= DENSE_HU[0]) & (part <= DENSE_HU[1])))
