"""What must hold of a picture in which it is known where the slice lies."""

import numpy as np
from numpy.typing import NDArray

from tests.support.ohif_browser import Picture
from tests.support.ohif_pictures import Placement, coloured, grown

TOLERANCE_VOXELS = 1.0
MIDDLE_VOXELS = 0.5
ARROW_VOXELS = 2.0
SKEW = 0.02  # of the scale


def check_overlay(visible: Picture, hidden: Picture, labels: NDArray[np.uint16], where: Placement) -> None:
    """The overlay covers each lesion and nothing else, within a voxel; the middle of each within half a voxel.

    labels: (H, W), of the shown slice.
    """
    mask = where.project(labels, hidden.shape)
    overlay = coloured(visible, hidden) & where.image(hidden.shape)
    tolerance = TOLERANCE_VOXELS * where.voxel_px
    assert not (overlay & ~grown(mask > 0, tolerance)).any(), "colour where there is no lesion"
    for number in np.unique(mask[mask > 0]):
        lesion = mask == number
        assert overlay[grown(lesion, -tolerance)].all(), f"no colour inside lesion {number}"
        drawn = overlay & grown(lesion, tolerance)
        assert drawn.any(), f"lesion {number} is not drawn"
        off = np.argwhere(drawn).mean(axis=0) - np.argwhere(lesion).mean(axis=0)
        assert np.abs(off).max() < MIDDLE_VOXELS * where.voxel_px, f"lesion {number} is drawn {off} pixels off"


def check_upright(where: Placement) -> None:
    """Rows run down and columns to the right at one scale: the patient's right is at the left."""
    scale = where.voxel_px
    np.testing.assert_allclose(where.voxel_to_pixel[:, :2], [[scale, 0], [0, scale]], atol=SKEW * scale)


def check_arrow_ends(picture: Picture, where: Placement, centre: tuple[int, ...]) -> None:
    """Something green, or yellow once it is chosen, is drawn at the lesion's centre (row, column)."""
    y, x = where.voxel_to_pixel @ (*centre, 1)
    drawn = (picture[..., 1] > 150) & (picture[..., 2] < 100)
    distances = np.hypot(*(np.argwhere(drawn) - (y, x)).T)
    assert distances.min(initial=np.inf) < ARROW_VOXELS * where.voxel_px
