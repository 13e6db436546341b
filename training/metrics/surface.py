"""The 95th percentile of the Hausdorff distance between the surfaces of two masks."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.metrics.boxes import box_of, grown

PERCENTILE = 95

SMOOTHING = 1e-7
"""The published evaluation averages as (sum + this) / (count + this). Kept, so that figures agree to the last digit."""

_FACES = ndimage.generate_binary_structure(3, 1)

Mask = NDArray[np.bool_]


def hausdorff_95_mm(truth: Mask, found: Mask, spacing_mm: tuple[float, float, float]) -> float | None:
    """Distance in mm within which 95 % of both surfaces' voxels have the other surface; None where a mask is empty.

    truth, found: (D, H, W); spacing_mm along the same axes. A surface is what an erosion by faces takes away; the
    volume's border erodes. Percentile over the distances of both directions together (paper, page 7; reference 37).
    """
    box = box_of(truth | found)
    if box is None or not truth.any() or not found.any():
        return None
    around = grown(box, 1, truth.shape)
    surfaces = [_surface(mask[around]) for mask in (truth, found)]
    distances = np.concatenate(
        [
            ndimage.distance_transform_edt(~other, sampling=spacing_mm)[one]
            for one, other in (surfaces, surfaces[::-1])
        ]
    )
    distance = float(np.percentile(distances, PERCENTILE))
    return (distance + SMOOTHING) / (1 + SMOOTHING)


def _surface(mask: Mask) -> Mask:
    return mask & ~ndimage.binary_erosion(mask, _FACES)
