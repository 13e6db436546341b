"""The proof that slices form one grid: each check raises the coded reason of what it found."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import AssemblySettings
from dicom_node.slice_plane import SlicePlane, slice_distances

SPACING_TOLERANCE = 1e-5  # mm; pixel spacings of one series that differ by more are two reconstructions
ROUNDING_MM = 1e-6  # of the arithmetic here, far below any tolerance
GAP_TOLERANCE = 0.1  # of the slice spacing: how near to a whole multiple a gap of missing slices comes
NAMED_GAPS = 5  # gaps that the detail of a refusal names one by one


def check_planes(planes: Sequence[SlicePlane], tolerances: AssemblySettings) -> None:
    """Prove that `planes`, in any order, lie on one regular grid with right angles.

    Raises:
        NotAnalysable: the first check that fails.
    """
    if len(planes) < 2:
        raise NotAnalysable(Reason.TOO_FEW_SLICES, f"{len(planes)} slices have no spacing")
    _check_matrix(planes)
    _check_orientation(planes, tolerances.orientation_tolerance)
    _check_pixel_spacing(planes)
    distances = slice_distances(planes)
    order = np.argsort(distances)
    _check_distinct(distances[order], tolerances.position_tolerance_mm)
    positions = np.array([planes[index].position for index in order])
    _check_tilt(positions, planes[0].normal, tolerances)
    _check_gaps(distances[order], tolerances.position_tolerance_mm)
    _check_even(positions, tolerances.position_tolerance_mm)


def _check_matrix(planes: Sequence[SlicePlane]) -> None:
    matrices = sorted({(plane.rows, plane.columns) for plane in planes})
    if len(matrices) > 1:
        named = ", ".join(f"{rows} x {columns}" for rows, columns in matrices)
        raise NotAnalysable(Reason.MIXED_MATRIX, f"matrices {named}")


def _check_orientation(planes: Sequence[SlicePlane], tolerance: float) -> None:
    cosines = np.array([(*plane.row_direction, *plane.column_direction) for plane in planes])
    difference = np.abs(cosines - cosines[0]).max(axis=1)
    if (difference > tolerance).any():
        raise NotAnalysable(
            Reason.MIXED_ORIENTATION,
            f"{(difference > tolerance).sum()} of {len(planes)} slices differ from the first by up to "
            f"{difference.max():.5f} in a direction cosine",
        )


def _check_pixel_spacing(planes: Sequence[SlicePlane]) -> None:
    spacings = np.array([plane.pixel_spacing for plane in planes])
    if np.ptp(spacings, axis=0).max() > SPACING_TOLERANCE:
        low, high = spacings.min(), spacings.max()
        raise NotAnalysable(Reason.MIXED_PIXEL_SPACING, f"pixel spacings from {low:g} to {high:g} mm")


def _check_distinct(distances: npt.NDArray[np.float64], tolerance: float) -> None:
    repeated = np.flatnonzero(np.diff(distances) <= tolerance)
    if repeated.size:
        raise NotAnalysable(
            Reason.DUPLICATE_POSITION,
            f"{repeated.size} of {len(distances)} slices repeat the position of another, "
            f"the first at {distances[repeated[0]]:.2f} mm",
        )


def _check_tilt(
    positions: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], tolerances: AssemblySettings
) -> None:
    """A sideways offset that grows steadily is a gantry tilt; any other is left to the check of evenness."""
    offsets = positions - positions[0]
    distances = offsets @ normal
    sideways = offsets - distances[:, None] * normal
    steady = distances[:, None] / distances[-1] * sideways[-1]
    if np.linalg.norm(sideways - steady, axis=1).max() > tolerances.position_tolerance_mm + ROUNDING_MM:
        return
    tilt = math.degrees(math.atan2(float(np.linalg.norm(sideways[-1])), float(distances[-1])))
    if tilt > tolerances.maximum_gantry_tilt_degrees:
        raise NotAnalysable(
            Reason.GANTRY_TILT,
            f"the slices' normal and the line of their positions differ by {tilt:.2f} degrees",
        )


def _check_gaps(distances: npt.NDArray[np.float64], tolerance: float) -> None:
    gaps = np.diff(distances)
    spacing = float(np.median(gaps))
    multiples = np.rint(gaps / spacing).astype(int)
    near = np.abs(gaps - multiples * spacing) <= max(2 * tolerance, GAP_TOLERANCE * spacing)
    wide = np.flatnonzero((multiples >= 2) & near)
    if wide.size:
        named = "; ".join(_describe_gap(index, distances, multiples) for index in wide[:NAMED_GAPS])
        missing = int((multiples[wide] - 1).sum())
        more = f"; and {wide.size - NAMED_GAPS} more gaps" if wide.size > NAMED_GAPS else ""
        raise NotAnalysable(
            Reason.MISSING_SLICE, f"{missing} missing at {spacing:.3f} mm spacing: {named}{more}"
        )


def _describe_gap(index: int, distances: npt.NDArray[np.float64], multiples: npt.NDArray[np.int_]) -> str:
    return (
        f"{multiples[index] - 1} between slices {index + 1} and {index + 2} from the feet "
        f"({distances[index]:.2f} and {distances[index + 1]:.2f} mm along the normal)"
    )


def _check_even(positions: npt.NDArray[np.float64], tolerance: float) -> None:
    """Every slice lies where even steps from the first to the last put it."""
    steps = np.linspace(0.0, 1.0, len(positions))[:, None]
    even = positions[0] + steps * (positions[-1] - positions[0])
    off = np.linalg.norm(positions - even, axis=1)
    worst = int(off.argmax())
    if off[worst] > tolerance + ROUNDING_MM:
        raise NotAnalysable(
            Reason.UNEVEN_SPACING,
            f"slice {worst + 1} of {len(positions)} lies {off[worst]:.3f} mm from its even place",
        )
