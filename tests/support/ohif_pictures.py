"""What a picture of the viewer shows of a slice whose place in it is known, told from the pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tests.support.ohif_browser import Picture

COLOURED = 12  # of 255: how much a pixel changes at least where an overlay comes or goes
BLOCK = 8  # pixels over which pages are averaged before they are compared


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a slice lies in a picture.

    voxel_to_pixel: (2, 3), (row, column, 1) to (y, x), of centres. shape: rows and columns of the slice.
    """

    voxel_to_pixel: NDArray[np.float64]
    shape: tuple[int, int]

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
        rows, columns = self.shape
        return np.asarray((row >= 0) & (row < rows) & (column >= 0) & (column < columns))

    def _voxels(self, shape: tuple[int, ...]) -> NDArray[np.int_]:
        """(2, height, width): the row and the column of the voxel nearest to each pixel."""
        square = np.vstack([self.voxel_to_pixel, [0, 0, 1]])
        y, x = np.indices(shape[:2])
        pixels = np.stack([y.ravel(), x.ravel(), np.ones(y.size)])
        nearest = np.rint((np.linalg.inv(square) @ pixels)[:2]).astype(int)
        return np.asarray(nearest.reshape(2, *shape[:2]))


def coloured(visible: Picture, hidden: Picture) -> NDArray[np.bool_]:
    """The pixels at which the two pictures differ: the overlay."""
    difference = np.abs(visible.astype(int) - hidden.astype(int)).max(axis=2)
    return np.asarray(difference >= COLOURED)


def grown(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """The mask and all within `pixels` of it; below 0, what is farther than that from its outside."""
    if pixels < 0:
        return np.asarray(ndimage.distance_transform_edt(mask) > -pixels)
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels)


def page_likeness(seen: Picture, page: Picture) -> float:
    """Correlation of a picture with a page as the viewer shows it first."""
    return float(np.corrcoef(_coarse(seen).ravel(), _coarse(_fitted(page, seen.shape)).ravel())[0, 1])


def _fitted(page: Picture, shape: tuple[int, ...]) -> Picture:
    """The page as large as the pane allows, in its middle, on black."""
    height, width = shape[:2]
    scale = min(height / page.shape[0], width / page.shape[1])
    rows, columns = round(page.shape[0] * scale), round(page.shape[1] * scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + rows, left : left + columns] = np.asarray(Image.fromarray(page).resize((columns, rows)))
    return canvas


def _coarse(picture: Picture) -> NDArray[np.float64]:
    """Mean grey value of blocks of BLOCK x BLOCK pixels."""
    rows, columns = (size // BLOCK for size in picture.shape[:2])
    grey = picture[: rows * BLOCK, : columns * BLOCK].mean(axis=2)
    return np.asarray(grey.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)))
