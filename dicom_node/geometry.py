"""The grid of a series in patient space: proved from the slices' own planes, never repaired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.plane_checks import check_planes
from dicom_node.settings import AssemblySettings
from dicom_node.slice_plane import SlicePlane, Vector, slice_distances

__all__ = ["GridGeometry", "SlicePlane", "build_geometry"]


@dataclass(frozen=True, eq=False)
class GridGeometry:
    """The canonical grid of a series, reached from the stored slices by flips alone, never by resampling.

    Canonical array axes (k, j, i): k towards the head (+S), j towards the back (+P), i towards the left (+L).
    planes: the slices in canonical order, foot to head. affine: (4, 4) float64, canonical index (k, j, i, 1)
    to LPS mm. shape: (D, H, W). flip_rows, flip_columns: whether the stored rows (columns) run against their
    canonical axis. swap_axes: whether the stored rows run along i and the columns along j, as with a patient
    who lies on the side.
    """

    planes: tuple[SlicePlane, ...]
    flip_rows: bool
    flip_columns: bool
    swap_axes: bool
    affine: npt.NDArray[np.float64]
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> Vector:
        """Voxel size along (k, j, i) in mm."""
        k, j, i = (float(size) for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        return k, j, i

    def from_stored(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View (..., H, W) in canonical order of `array` (..., rows, columns) in stored order."""
        flipped = _flip(array, self.flip_rows, self.flip_columns)
        return flipped.swapaxes(-2, -1) if self.swap_axes else flipped

    def to_stored(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View (..., rows, columns) in stored order of `array` (..., H, W); slices stay in planes order."""
        swapped = array.swapaxes(-2, -1) if self.swap_axes else array
        return _flip(swapped, self.flip_rows, self.flip_columns)

    def stored_index(self, j: int, i: int) -> tuple[int, int]:
        """Row and column, from 0, in a stored slice of the voxels at canonical (j, i)."""
        row, column = (i, j) if self.swap_axes else (j, i)
        plane = self.planes[0]
        return (
            plane.rows - 1 - row if self.flip_rows else row,
            plane.columns - 1 - column if self.flip_columns else column,
        )


def build_geometry(planes: Sequence[SlicePlane], tolerances: AssemblySettings) -> GridGeometry:
    """The grid that `planes`, in any order, form.

    They are sorted by their position along the common normal, whatever their instance numbers or names.

    Raises:
        NotAnalysable: orientation, matrix or pixel spacing differ; positions repeat, are unevenly spaced or
            leave gaps; the slices are sheared by a tilted gantry; a stated value is impossible.
    """
    check_planes(planes, tolerances)
    ordered = _foot_to_head(planes)
    first = ordered[0]
    swap = abs(first.row_direction[0]) < abs(first.column_direction[0])
    along_columns, along_rows = (1, 0) if swap else (0, 1)
    flip_columns = first.row_direction[along_columns] < 0
    flip_rows = first.column_direction[along_rows] < 0
    affine = _affine(ordered, flip_rows, flip_columns, swap)
    height, width = (first.columns, first.rows) if swap else (first.rows, first.columns)
    return GridGeometry(ordered, flip_rows, flip_columns, swap, affine, (len(ordered), height, width))


def _foot_to_head(planes: Sequence[SlicePlane]) -> tuple[SlicePlane, ...]:
    return tuple(planes[index] for index in np.argsort(slice_distances(planes)))


def _affine(
    ordered: Sequence[SlicePlane], flip_rows: bool, flip_columns: bool, swap: bool
) -> npt.NDArray[np.float64]:
    """Columns: step of k, j and i in mm, and the centre of voxel (0, 0, 0)."""
    first, last = ordered[0], ordered[-1]
    between_rows, between_columns = first.pixel_spacing
    origin = np.array(first.position)
    row_step = np.array(first.column_direction) * between_rows
    column_step = np.array(first.row_direction) * between_columns
    if flip_rows:
        origin, row_step = origin + row_step * (first.rows - 1), -row_step
    if flip_columns:
        origin, column_step = origin + column_step * (first.columns - 1), -column_step
    affine = np.eye(4)
    affine[:3, 0] = (np.array(last.position) - np.array(first.position)) / (len(ordered) - 1)
    affine[:3, 1] = column_step if swap else row_step
    affine[:3, 2] = row_step if swap else column_step
    affine[:3, 3] = origin
    affine.setflags(write=False)
    return affine


def _flip(array: npt.NDArray[Any], rows: bool, columns: bool) -> npt.NDArray[Any]:
    return array[..., :: -1 if rows else 1, :: -1 if columns else 1]
