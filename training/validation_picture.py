"""A case with truth and prediction in three planes, as a picture for TensorBoard."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

WINDOW_HU = (-100.0, 500.0)
"""Width 600, level 200, as the paper's figures."""
SLAB_VOXELS = 11
THRESHOLD = 0.5
TRUTH_COLOUR, FOUND_COLOUR = (0, 220, 0), (255, 60, 60)


def draw_case(hu: NDArray[np.int16], truth: NDArray[np.bool_], probability: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W, 3): maximum projections of 11 slices around the largest target, truth outlined green, found red.

    hu, truth, probability: (D, H, W).
    """
    centre = _centre(truth, probability)
    planes = [_plane(hu, truth, probability > THRESHOLD, axis, centre[axis]) for axis in range(3)]
    height = max(plane.shape[0] for plane in planes)
    return np.concatenate([np.pad(one, ((0, height - len(one)), (0, 0), (0, 0))) for one in planes], axis=1)


def _centre(truth: NDArray[np.bool_], probability: NDArray[np.floating]) -> tuple[int, int, int]:
    labels, count = ndimage.label(truth)
    if count:
        own = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        z, y, x = (int(value) for value in np.argwhere(own).mean(axis=0))
    else:
        z, y, x = (int(value) for value in np.unravel_index(int(probability.argmax()), probability.shape))
    return z, y, x


def _plane(
    hu: NDArray[np.int16], truth: NDArray[np.bool_], found: NDArray[np.bool_], axis: int, at: int
) -> NDArray[np.uint8]:
    first = max(at - SLAB_VOXELS // 2, 0)
    slab = [np.moveaxis(array, axis, 0)[first : first + SLAB_VOXELS] for array in (hu, truth, found)]
    lowest, highest = WINDOW_HU
    grey = np.clip((slab[0].max(0) - lowest) / (highest - lowest), 0, 1) * 255
    picture = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    for mask, colour in ((slab[1].any(0), TRUTH_COLOUR), (slab[2].any(0), FOUND_COLOUR)):
        picture[ndimage.binary_dilation(mask) & ~mask] = colour
    return picture if axis == 0 else picture[::-1]
