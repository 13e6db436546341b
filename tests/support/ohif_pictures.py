"""What a picture of the viewer shows, told from its pixels and from what the CT is known to hold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.support.ohif_browser import Picture
from tests.support.ohif_study import MARKERS, SHAPE, SLICE_MARKER_EDGE, slice_marker_rows

WHITE = 235  # the markers are far above the window; everything else of the size and shape of a square is darker
SMALLEST_AREA = 60  # pixels of a marker: letters are smaller
FULL = 0.93  # of its bounding box: a square; rings and letters have holes
COLOURED = 12  # of 255: how much a pixel changes at least where an overlay comes or goes


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the shown slice lies in a picture. voxel_to_pixel: (2, 3), (row, column, 1) to (y, x) of centres."""

    voxel_to_pixel: NDArray[np.float64]
    slice_index: int
    residual_px: float

    @property
    def voxel_px(self) -> float:
        """The edge of a voxel in pixels."""
        return float(np.sqrt(abs(np.linalg.det(self.voxel_to_pixel[:, :2]))))

    def project(self, plane: NDArray[np.uint16], shape: tuple[int, ...]) -> NDArray[np.uint16]:
        """The values of a slice (H, W) in each pixel of a picture, nearest voxel; 0 outside."""
        row, column = self._voxels(shape)
        inside = self.image(shape)
        values = np.zeros(shape[:2], np.uint16)
        values[inside] = plane[row[inside], column[inside]]
        return values

    def image(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The pixels of a picture that show the slice; beside it the viewer's controls lie."""
        row, column = self._voxels(shape)
        return np.asarray((row >= 0) & (row < SHAPE[1]) & (column >= 0) & (column < SHAPE[2]))

    def _voxels(self, shape: tuple[int, ...]) -> NDArray[np.int_]:
        """(2, height, width): the row and the column of the voxel nearest to each pixel."""
        square = np.vstack([self.voxel_to_pixel, [0, 0, 1]])
        y, x = np.indices(shape[:2])
        pixels = np.stack([y.ravel(), x.ravel(), np.ones(y.size)])
        nearest = np.rint((np.linalg.inv(square) @ pixels)[:2]).astype(int)
        return np.asarray(nearest.reshape(2, *shape[:2]))


def place(picture: Picture) -> Placement:
    """Find the markers, which their sizes tell apart, and from them how the slice was drawn and which one it is."""
    centres = dict(zip(sorted([*MARKERS, SLICE_MARKER_EDGE]), _white_squares(picture), strict=True))
    moving = centres.pop(SLICE_MARKER_EDGE)
    voxels = np.array([(*(first + (edge - 1) / 2 for first in MARKERS[edge]), 1) for edge in centres])
    pixels = np.array(list(centres.values()))
    solved = np.linalg.lstsq(voxels, pixels)[0].T
    residual = float(np.abs(voxels @ solved.T - pixels).max())
    row = float(np.linalg.solve(solved[:, :2], moving - solved[:, 2])[0]) - (SLICE_MARKER_EDGE - 1) / 2
    return Placement(solved, slice_marker_rows().index(round(row)), residual)


def shows_markers(picture: Picture) -> bool:
    """Whether each marker is there, once."""
    return len(_white_squares(picture)) == len(MARKERS) + 1


def coloured(visible: Picture, hidden: Picture) -> NDArray[np.bool_]:
    """The pixels at which the two pictures differ: the overlay."""
    difference = np.abs(visible.astype(int) - hidden.astype(int)).max(axis=2)
    return np.asarray(difference >= COLOURED)


def grown(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """The mask and all within `pixels` of it; below 0, what is farther than that from its outside."""
    if pixels < 0:
        return np.asarray(ndimage.distance_transform_edt(mask) > -pixels)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels)


def _white_squares(picture: Picture) -> list[NDArray[np.float64]]:
    """Centres (y, x) of the filled white squares, small to large."""
    labels, count = ndimage.label((picture >= WHITE).all(axis=2))
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[box] == number
        if part.sum() >= SMALLEST_AREA and part.mean() >= FULL and abs(part.shape[0] - part.shape[1]) <= 2:
            corner = np.array([one.start for one in box])
            found.append((int(part.sum()), corner + np.argwhere(part).mean(axis=0)))
    return [centre for _, centre in sorted(found, key=lambda one: one[0])]
