"""A CT volume and where it lies in the patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glianet.errors import VolumeError

SMALLEST_VOXEL_MM3 = 1e-6
"""An affine whose voxels are smaller than this (0.01 mm cubed) is degenerate: no CT comes near it."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Hounsfield units on a regular grid, checked when it is made.

    hu: (D, H, W) int16, HU; axes slice k (towards the head), row j (towards the back), column i (towards the left)
    for what the readers give. The array is kept as it is, not copied.
    affine: (4, 4) float64; maps the homogeneous array index (k, j, i, 1), integers at voxel centres, to patient
    coordinates in mm, LPS (DICOM PS3.3 C.7.6.2.1.1).

    Raises VolumeError when the array is not three-dimensional int16 with at least one voxel, or the affine is not
    finite, not affine or not invertible.
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check_array(self.hu)
        check_affine(self.affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W): slices, rows, columns."""
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres in mm, in the order of the axes (D, H, W)."""
        between_slices, between_rows, between_columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(between_slices), float(between_rows), float(between_columns)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel in mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def index_to_lps(self, index: ArrayLike) -> NDArray[np.float64]:
        """See the function of the same name."""
        return index_to_lps(self, index)


def index_to_lps(volume_or_affine: Volume | NDArray[np.float64], index: ArrayLike) -> NDArray[np.float64]:
    """Patient coordinates (..., 3) float64, LPS mm, of array indices (..., 3) in the order (k, j, i).

    Indices may be fractions: (-0.5, -0.5, -0.5) is the outer corner of the first voxel.
    """
    affine = volume_or_affine.affine if isinstance(volume_or_affine, Volume) else volume_or_affine
    return np.asarray(index, np.float64) @ affine[:3, :3].T + affine[:3, 3]


def check_affine(affine: NDArray[np.float64]) -> None:
    """Raises VolumeError unless `affine` is a finite, invertible (4, 4) float64 array with last row 0 0 0 1."""
    if not isinstance(affine, np.ndarray) or affine.shape != (4, 4) or affine.dtype != np.float64:
        raise _invalid("affine", "it is not a (4, 4) float64 array")
    if not np.isfinite(affine).all():
        raise _invalid("affine", "it holds a value that is not finite")
    if not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise _invalid("affine", f"its last row is {affine[3].tolist()} instead of 0 0 0 1")
    if abs(np.linalg.det(affine[:3, :3])) < SMALLEST_VOXEL_MM3:
        raise _invalid("affine", "it cannot be inverted: its axes span no volume")


def _check_array(hu: NDArray[np.int16]) -> None:
    if not isinstance(hu, np.ndarray) or hu.dtype != np.int16:
        found = hu.dtype.name if isinstance(hu, np.ndarray) else type(hu).__name__
        raise _invalid("voxels", f"they are {found} instead of an int16 array of HU")
    if hu.ndim != 3 or 0 in hu.shape:
        raise _invalid("voxels", f"their shape is {hu.shape} instead of (slices, rows, columns)")


def _invalid(where: str, what: str) -> VolumeError:
    return VolumeError(what=what, where=f"volume, {where}", advice="Check the series that was read")
