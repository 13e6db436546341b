"""How much contrast lies inside the head: cheap, and inclined to find some where it is in doubt."""

from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

FINE_MM = 1.25  # blocks up to this size are averaged: noise falls, and the large arteries stay
COARSE_MM = 3.0  # blocks in which the brain is looked for
BRAIN_HU = (0, 100)  # means of such blocks of brain and cerebrospinal fluid
OPENING_BLOCKS = 2  # some 6 mm: what is thinner than twice that is no brain (scalp, muscle between bones)
CLOSING_BLOCKS = 1  # some 3 mm: fills the gaps that vessels leave in the brain
SMALLEST_BRAIN_ML = 100.0  # of one connected piece; a whole brain has about 1,400
NEAR_BONE_MM = 3.0  # around voxels brighter than any contrast: the blurred edge of bone, calcium and metal
SMALLEST_VESSEL_MM3 = 15.0  # smaller specks are noise or calcium


def measure_contrast(
    hu: npt.NDArray[np.int16], affine: npt.NDArray[np.float64], minimum_hu: float, maximum_hu: float
) -> float:
    """Volume in mL of connected voxels of minimum_hu to maximum_hu inside the brain and its cisterns.

    hu: (D, H, W) int16 HU; affine: (4, 4), index to LPS mm. The brain is every large connected piece of soft
    tissue after an opening that parts it from scalp and muscle, with gaps and holes that vessels leave filled; where
    there is none, everything counts. What lies within NEAR_BONE_MM of a voxel above maximum_hu never does.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    fine, fine_spacing = _average_blocks(hu, spacing, FINE_MM)
    vessels = _find_brain(fine, fine_spacing) & (fine >= minimum_hu) & (fine <= maximum_hu)
    vessels &= ~_near(fine > maximum_hu, fine_spacing)
    voxel_mm3 = float(np.prod(fine_spacing))
    kept = cc3d.dust(vessels, threshold=SMALLEST_VESSEL_MM3 / voxel_mm3, connectivity=26)
    return float(np.count_nonzero(kept)) * voxel_mm3 / 1000.0


def _average_blocks(
    hu: npt.NDArray[np.int16], spacing: npt.NDArray[np.float64], size_mm: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    """Means of whole blocks, and their spacing; what does not fill a block at the far ends is left out."""
    factors = _factors(spacing, size_mm, hu.shape)
    thickness, voxels = factors[0], int(np.prod(factors))
    means = np.empty([size // factor for size, factor in zip(hu.shape, factors, strict=True)], np.int16)
    for k, plane in enumerate(means):
        plane[:] = _add_up(hu[k * thickness : (k + 1) * thickness], factors) // voxels
    return means, spacing * factors


def _add_up(layer: npt.NDArray[np.int16], factors: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """(H, W) int32: the sums of one layer of blocks, axis by axis, so that what is added shrinks with each."""
    total: npt.NDArray[Any] = layer
    for axis, factor in enumerate(factors):
        count = total.shape[axis] // factor
        parts = [_every(total, axis, offset, factor, count) for offset in range(factor)]
        total = parts[0].astype(np.int32)
        for part in parts[1:]:
            total += part
    return total[0]


def _find_brain(fine: npt.NDArray[np.int16], spacing: npt.NDArray[np.float64]) -> Mask:
    """(D, H, W) of `fine`: brain and cisterns; beyond the image's edges the head goes on as it is there."""
    means, coarse_spacing = _average_blocks(fine, spacing, COARSE_MM)
    soft = (means > BRAIN_HU[0]) & (means < BRAIN_HU[1])
    core = ndimage.binary_erosion(soft, iterations=OPENING_BLOCKS, border_value=1)
    least = 1000.0 * SMALLEST_BRAIN_ML / float(np.prod(coarse_spacing))
    core = cc3d.dust(core, threshold=least, connectivity=6).astype(bool)
    if not core.any():
        return np.ones(fine.shape, bool)
    margin = OPENING_BLOCKS + CLOSING_BLOCKS
    grown = ndimage.binary_dilation(np.pad(core, margin, mode="edge"), iterations=margin)
    closed = ndimage.binary_erosion(grown, iterations=CLOSING_BLOCKS, border_value=1)
    inner = ndimage.binary_fill_holes(closed[margin:-margin, margin:-margin, margin:-margin])
    return _enlarge(inner, _factors(spacing, COARSE_MM, fine.shape), fine.shape)


def _enlarge(mask: Mask, factors: tuple[int, ...], shape: tuple[int, ...]) -> Mask:
    for axis, factor in enumerate(factors):
        mask = mask.repeat(factor, axis)
    missing = [(0, size - have) for size, have in zip(shape, mask.shape, strict=True)]
    return np.pad(mask, missing)


def _near(bright: Mask, spacing: npt.NDArray[np.float64]) -> Mask:
    """Voxels within NEAR_BONE_MM of a bright one, along the axes and their combinations."""
    near = bright
    for axis, size in enumerate(spacing):
        near = _widen(near, int(NEAR_BONE_MM // size), axis)
    return near


def _widen(mask: Mask, reach: int, axis: int) -> Mask:
    """Voxels at most `reach` steps along `axis` from one of the mask: each round trebles what is reached."""
    done = 0
    while done < reach:
        step = min(2 * done + 1, reach - done)
        wider = mask.copy()
        ahead, behind = wider.swapaxes(0, axis), mask.swapaxes(0, axis)
        ahead[step:] |= behind[:-step]
        ahead[:-step] |= behind[step:]
        mask, done = wider, done + step
    return mask


def _factors(spacing: npt.NDArray[np.float64], size_mm: float, shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many voxels make a block of at most `size_mm` along each axis, at least one."""
    wanted = np.maximum(1, np.floor(size_mm / spacing + 1e-6)).astype(int)
    return tuple(int(number) for number in np.minimum(wanted, shape))


def _every(array: npt.NDArray[Any], axis: int, offset: int, factor: int, count: int) -> npt.NDArray[Any]:
    """Of `count` groups of `factor` neighbours along `axis`, the one at `offset` of each."""
    return array[(slice(None),) * axis + (slice(offset, factor * count, factor),)]
