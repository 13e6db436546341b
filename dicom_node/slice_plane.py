"""One slice's place in patient space, as its header states it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dicom_node.reasons import NotAnalysable, Reason

Vector = tuple[float, float, float]

ORTHONORMAL_TOLERANCE = 1e-3  # of squared length and of scalar product: cosines written with four decimals
LARGEST_POSITION_MM = 10_000.0  # no table is longer; more is a damaged number
LARGEST_PIXEL_SPACING_MM = 10.0
LARGEST_MATRIX = 2048  # rows or columns of any CT reconstruction; more is a damaged number


@dataclass(frozen=True)
class SlicePlane:
    """Where one slice (a single-frame instance, or one frame) lies; PS3.3 C.7.6.2.1.1.

    sop_instance_uid, frame_number: which image; the number counts from 1 and is None for a single-frame one.
    position: centre of the first voxel (row 0, column 0), LPS mm (ImagePositionPatient).
    row_direction: unit vector along which the column index grows (first triple of ImageOrientationPatient).
    column_direction: unit vector along which the row index grows (second triple).
    pixel_spacing: mm between rows, mm between columns (PixelSpacing). rows, columns: the stored matrix.

    Raises NotAnalysable when it is made of numbers that no CT slice can have.
    """

    sop_instance_uid: str
    frame_number: int | None
    position: Vector
    row_direction: Vector
    column_direction: Vector
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        directions = np.array([self.row_direction, self.column_direction])
        numbers = (*self.position, *directions.flat, *self.pixel_spacing)
        if not np.isfinite(numbers).all():
            raise _impossible("a position, orientation or spacing is no finite number")
        if np.abs(self.position).max() > LARGEST_POSITION_MM:
            raise _impossible(f"position {self.position} mm")
        if np.abs(directions @ directions.T - np.eye(2)).max() > ORTHONORMAL_TOLERANCE:
            raise _impossible(f"direction cosines {(*self.row_direction, *self.column_direction)}")
        if not all(0 < spacing <= LARGEST_PIXEL_SPACING_MM for spacing in self.pixel_spacing):
            raise _impossible(f"pixel spacing {self.pixel_spacing} mm")
        if not (2 <= self.rows <= LARGEST_MATRIX and 2 <= self.columns <= LARGEST_MATRIX):
            raise _impossible(f"matrix {self.rows} x {self.columns}")

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector (3,) LPS at right angles to the slice, pointing towards the head."""
        normal = np.cross(self.row_direction, self.column_direction)
        return normal if normal[2] >= 0 else -normal

    @property
    def axial_angle_degrees(self) -> float:
        """Angle between the normal and the patient's long axis, 0 to 90 degrees."""
        normal = self.normal
        return math.degrees(math.atan2(math.hypot(normal[0], normal[1]), normal[2]))


def slice_distances(planes: Sequence[SlicePlane]) -> npt.NDArray[np.float64]:
    """(N,) mm: the place of each slice along the first one's normal, growing towards the head."""
    distances: npt.NDArray[np.float64] = np.array([plane.position for plane in planes]) @ planes[0].normal
    return distances


def _impossible(detail: str) -> NotAnalysable:
    return NotAnalysable(Reason.INVALID_GEOMETRY, detail)
