"""Where a slice lies in a picture of the made study: white squares of known voxels tell, whatever the viewer says."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.support.ohif_browser import Picture
from tests.support.ohif_pictures import Placement
from tests.support.ohif_study import MARKERS, SHAPE, SLICE_MARKER_EDGE, slice_marker_rows

WHITE = 235  # the markers are far above the window; everything else of the size and shape of a square is darker
SMALLEST_AREA = 60  # pixels of a marker: letters are smaller
FULL = 0.93  # of its bounding box: a square; rings and letters have holes
WITHIN_VOXELS = 0.35  # what rounding to pixels moves the middle of a square


def place(picture: Picture) -> tuple[Placement, int]:
    """Find the markers, which their sizes tell apart; from them how the slice was drawn, and the index of the slice.

    Raises:
        AssertionError: they are not all there, each once, or not where the slice could have them.
    """
    edges, squares = sorted([*MARKERS, SLICE_MARKER_EDGE]), _white_squares(picture)
    assert len(squares) == len(edges), f"{len(squares)} white squares instead of {len(edges)}"
    centres = dict(zip(edges, squares, strict=True))
    moving = centres.pop(SLICE_MARKER_EDGE)
    voxels = np.array([(*(first + (edge - 1) / 2 for first in MARKERS[edge]), 1) for edge in centres])
    pixels = np.array(list(centres.values()))
    solved = np.linalg.lstsq(voxels, pixels)[0].T
    row = float(np.linalg.solve(solved[:, :2], moving - solved[:, 2])[0]) - (SLICE_MARKER_EDGE - 1) / 2
    where = Placement(solved, SHAPE[1:])
    off_px = float(np.abs(voxels @ solved.T - pixels).max())
    assert off_px < WITHIN_VOXELS * where.voxel_px, f"the squares are {off_px} pixels off where they fit best"
    return where, slice_marker_rows().index(round(row))


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
