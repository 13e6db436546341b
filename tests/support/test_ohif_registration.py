"""Registration finds where a slice was drawn from a picture that is drawn here, and knows another slice."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests.support.ohif_browser import Picture
from tests.support.ohif_registration import WINDOW_HU, register

WITHIN_VOXELS = 0.2
SHAPE = (256, 256)


@pytest.fixture(scope="module")
def head() -> NDArray[np.int16]:
    return _head(seed=1)


@pytest.mark.parametrize(("scale", "top", "left"), [(1.6, 0.0, 40.0), (2.8, -90.5, -120.25), (1.5, 7.3, -11.0)])
def test_finds_scale_and_shift(head: NDArray[np.int16], scale: float, top: float, left: float) -> None:
    where = register(_drawn(head, scale, top, left), head)
    corners = np.array([[0, 0, 1], [255, 0, 1], [0, 255, 1], [255, 255, 1]]).T
    expected = np.array([[scale, 0, top], [0, scale, left]]) @ corners
    assert np.abs(where.voxel_to_pixel @ corners - expected).max() < WITHIN_VOXELS * scale


def test_refuses_a_slice_that_differs_in_its_noise_alone(head: NDArray[np.int16]) -> None:
    with pytest.raises(AssertionError, match="noise"):
        register(_drawn(head, 1.6, 0.0, 40.0), _head(seed=2))


def test_refuses_a_mirrored_slice(head: NDArray[np.int16]) -> None:
    with pytest.raises(AssertionError, match="noise"):
        register(_drawn(head, 1.6, 0.0, 40.0), head[:, ::-1])


def _head(seed: int) -> NDArray[np.int16]:
    """A skull, a brain with noise, and a few vessels, all at one side."""
    row, column = np.indices(SHAPE)
    radius = np.hypot((row - 130) / 110, (column - 120) / 85)
    hu = np.select([radius < 0.9, radius < 1], [35.0, 900.0], -1000.0)
    for y, x, size in ((90, 90, 6), (140, 80, 9), (150, 120, 4)):
        hu[np.hypot(row - y, column - x) < size] = 320
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 40, SHAPE), 0.7)
    return np.rint(hu + noise).astype(np.int16)


def _drawn(hu: NDArray[np.int16], scale: float, top: float, left: float) -> Picture:
    """The slice in a pane of 420 x 480 pixels, with a coloured and a white label over it."""
    black, white = WINDOW_HU
    grey = np.clip((hu - black) / (white - black), 0, 1)
    y, x = np.indices((420, 480))
    plane = ndimage.map_coordinates(grey, [(y - top) / scale, (x - left) / scale], order=1)
    picture = np.repeat((255 * plane).astype(np.uint8)[..., None], 3, axis=2)
    picture[30:45, 200:300] = (0, 255, 0)
    picture[390:400, 20:60] = 255
    return picture
