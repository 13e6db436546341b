"""Where a slice lies in a picture, found by laying the slice over it until they agree, whatever the viewer says.

First the scale and the shift at which the blurred slice is most like the blurred picture; from there all six numbers
of the mapping, at less and less blur. That they agree is told from the noise: every slice has its own, and it is lost
where the slice lies half a voxel off.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from tests.support.ohif_browser import Picture
from tests.support.ohif_pictures import Placement

WINDOW_HU = (-100.0, 600.0)  # black and white: the window that the CT names, centre 250 and width 700
BLOCK = 8  # pixels that are averaged for the first search
SCALES = np.geomspace(0.7, 5.0, 50)  # pixels of the picture a voxel
BLURS = (4.0, 2.0, 1.0)  # voxels
POINTS = 30_000  # of the picture, about as many as are compared
LEAST_SPREAD = 0.01  # of the grey values where the slice is laid: less is an empty place
STEPS = 10
UNLIKE = 0.25  # of the way from black to white
MARGIN_PX = 16  # as far as the largest blur carries
GREY = 6  # of 255: how far the colours of a pixel without text or drawing lie apart
BRAIN, TISSUE, FINE = 0.2, 0.1, 0.06  # grey values of soft tissue, where there is noise and no edge
ALIKE = 0.8  # correlation of the noise: 0.97 for the slice that is shown, 0.5 for its neighbours

Plane = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Points:
    """Pixels that are compared. at: (3, N), (y, x, 1)."""

    at: Plane
    step: int
    keep: NDArray[np.bool_]

    def of(self, picture: Plane) -> Plane:
        return np.asarray(picture[:: self.step, :: self.step][self.keep])


def register(picture: Picture, hu: NDArray[np.int16]) -> Placement:
    """Find how a slice (H, W) in HU was drawn.

    Raises:
        AssertionError: it is another slice, or one that nothing is known of.
    """
    grey, shown, points = picture.mean(axis=2) / 255, _shown(hu), _points(picture)
    mapping = _search(grey, shown)
    for blur in BLURS:
        mapping = _refine(grey, shown, mapping, points, blur)
    likeness = _likeness(grey, shown, mapping, points)
    assert likeness > ALIKE, f"the picture is not of this slice: their noise correlates by {likeness:.2f}"
    voxel_to_pixel = np.linalg.inv(np.vstack([mapping, [0, 0, 1]]))[:2]
    return Placement(voxel_to_pixel, (hu.shape[0], hu.shape[1]))


def _shown(hu: NDArray[np.int16]) -> Plane:
    """The slice as grey values from 0 to 1."""
    black, white = WINDOW_HU
    return np.clip((hu - black) / (white - black), 0, 1)


def _points(picture: Picture) -> _Points:
    """A grid over the picture, without what is drawn in colour, or near that or the picture's edge."""
    step = max(1, int(np.sqrt(picture.shape[0] * picture.shape[1] / POINTS)))
    plain = np.pad(np.ptp(picture, axis=2) <= GREY, 1)
    keep = (ndimage.distance_transform_cdt(plain)[1:-1, 1:-1] > MARGIN_PX)[::step, ::step]
    at = step * np.argwhere(keep).T
    return _Points(np.vstack([at, np.ones(at.shape[1])]), step, keep)


def _search(grey: Plane, shown: Plane) -> Plane:
    """Pixel to voxel, (2, 3), upright: the scale and the shift of the best normalised correlation."""
    pattern = _averaged(grey)
    pattern = (pattern - pattern.mean()) / pattern.std()
    found = max((_best_shift(pattern, shown, scale) for scale in SCALES), key=lambda one: one[0])
    _, scale, first = found
    middle = (BLOCK - 1) / 2  # of the first block, in pixels
    offset = first - middle / scale
    return np.array([[1 / scale, 0, offset[0]], [0, 1 / scale, offset[1]]])


def _best_shift(pattern: Plane, shown: Plane, scale: float) -> tuple[float, float, Plane]:
    """The best correlation at a scale, the scale, and the voxel at the middle of the pattern's first block."""
    step = BLOCK / scale  # voxels from block to block
    smooth = ndimage.gaussian_filter(shown, step / 3)
    axes = [  # the slice may reach beyond the picture, or not fill it
        np.arange(-many // 2 * step, size + many // 2 * step, step)
        for many, size in zip(pattern.shape, shown.shape, strict=True)
    ]
    laid = ndimage.map_coordinates(smooth, np.meshgrid(*axes, indexing="ij"), order=1)
    whole = tuple(
        slice(size // 2, size // 2 + full - size + 1) for size, full in zip(pattern.shape, laid.shape, strict=True)
    )
    mean, mean_square = (ndimage.uniform_filter(one, pattern.shape)[whole] for one in (laid, laid**2))
    spread = np.sqrt(np.maximum(mean_square - mean**2, LEAST_SPREAD**2))
    correlation = signal.fftconvolve(laid, pattern[::-1, ::-1], "valid") / (pattern.size * spread)
    at = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    return float(correlation[at]), scale, np.array([axis[index] for axis, index in zip(axes, at, strict=True)])


def _averaged(grey: Plane) -> Plane:
    rows, columns = (size // BLOCK for size in grey.shape)
    return np.asarray(grey[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)))


def _refine(grey: Plane, shown: Plane, mapping: Plane, points: _Points, blur: float) -> Plane:
    """The mapping near `mapping` that makes slice and picture most alike, by Gauss and Newton."""
    expected = ndimage.gaussian_filter(shown, blur)
    slopes = [ndimage.gaussian_filter(shown, blur, order=order) for order in ((1, 0), (0, 1))]
    seen = points.of(ndimage.gaussian_filter(grey, blur / np.sqrt(np.linalg.det(mapping[:, :2]))))
    for _ in range(STEPS):
        voxels = mapping @ points.at
        missing = seen - ndimage.map_coordinates(expected, voxels, order=1)
        change = np.vstack([ndimage.map_coordinates(slope, voxels, order=1) * points.at for slope in slopes])
        near = np.abs(missing) < UNLIKE  # the viewer's words are far from it
        mapping = mapping + np.linalg.lstsq(change[:, near].T, missing[near])[0].reshape(2, 3)
    return mapping


def _likeness(grey: Plane, shown: Plane, mapping: Plane, points: _Points) -> float:
    """Correlation of the picture's fine structure with the slice's, where neither is all black or white."""
    scale = 1 / np.sqrt(np.linalg.det(mapping[:, :2]))
    expected, smooth = (
        ndimage.map_coordinates(plane, mapping @ points.at, order=1)
        for plane in (shown, ndimage.gaussian_filter(shown, BLURS[-1]))
    )
    seen = points.of(grey - ndimage.gaussian_filter(grey, BLURS[-1] * scale))
    fine = expected - smooth
    even = (np.abs(smooth - BRAIN) < TISSUE) & (np.abs(fine) < FINE) & (np.abs(seen) < FINE)
    return float(np.corrcoef(fine[even], seen[even])[0, 1])
