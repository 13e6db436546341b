"""Tubes and ellipsoids drawn with soft edges, each in its own small box."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.pose import Pose

Array = NDArray[np.float64]

GREATEST_STRETCH = 1.3
"""Of a head on its way into the array."""


@dataclass
class Canvas:
    """What flows with contrast: coverage 0 to 1 and HU, both (D, H, W) float32.

    softness_mm is half the width of the linear edge that stands for partial volume and reconstruction kernel.
    """

    coverage: NDArray[np.float32]
    hu: NDArray[np.float32]
    pose: Pose
    softness_mm: float


def new_canvas(pose: Pose, softness_mm: float) -> Canvas:
    """An empty canvas on the pose's grid."""
    return Canvas(np.zeros(pose.shape, np.float32), np.zeros(pose.shape, np.float32), pose, softness_mm)


def draw_tube(canvas: Canvas, points: Array, radii: Array, hu: Array) -> None:
    """Draw a tube along (N, 3) head points (x, y, z) mm with (N,) radii in mm and (N,) HU."""
    centres = canvas.pose.to_array_mm(points)
    for start, end, first, last, level in zip(centres, centres[1:], radii, radii[1:], hu, strict=False):
        _draw_cone(canvas, start, end, float(first), float(last), float(level))


def ellipsoid(
    canvas: Canvas, centre: Array, axes_mm: Array, rotation: Array
) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]] | None:
    """Box and coverage (float32, 0 to 1) of an ellipsoid; centre in head mm (x, y, z); None outside the grid.

    rotation: (3, 3) head axes of the ellipsoid, one per row.
    """
    middle = canvas.pose.to_array_mm(centre[None])[0]
    reach = float(np.max(axes_mm)) * 1.1 + 2 * canvas.softness_mm
    located = _box(canvas.pose, middle - reach, middle + reach)
    if located is None:
        return None
    box, (z, y, x) = located
    to_axes = rotation @ np.linalg.inv(canvas.pose.matrix)
    distance_square, inner = np.float32(0), np.float32(0)
    for row, axis in zip(to_axes, axes_mm, strict=True):
        along = row[0] * (z - middle[0]) + row[1] * (y - middle[1]) + row[2] * (x - middle[2])
        inner = inner + (along / axis) ** 2
        distance_square = distance_square + along**2
    scaled, distance = np.sqrt(inner) + 1e-6, np.sqrt(distance_square) + 1e-6
    return box, _soften(distance - distance / scaled, canvas.softness_mm)


def blend_ellipsoid(
    hu: NDArray[np.float32],
    canvas: Canvas,
    centre: Array,
    axes_mm: Array,
    level_hu: float,
    spared_below_hu: float = -np.inf,
) -> None:
    """Blend a level into (D, H, W) HU, in place, where an ellipsoid along the head's axes lies; air may be spared."""
    drawn = ellipsoid(canvas, centre, axes_mm, np.eye(3))
    if drawn is not None:
        box, cover = drawn
        hu[box] += np.where(hu[box] < spared_below_hu, 0, cover) * (np.float32(level_hu) - hu[box])


def draw_implicit(
    canvas: Canvas,
    centre: Array,
    reach_mm: float,
    distance: Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]],
) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]] | None:
    """Box and coverage (float32, 0 to 1) of a shape around a centre in head mm (x, y, z); None outside the grid.

    distance: signed distance in mm, negative inside, of points x, y, z head mm from the centre.
    """
    middle = canvas.pose.to_array_mm(centre[None])[0]
    reach = reach_mm * GREATEST_STRETCH + 2 * canvas.softness_mm
    located = _box(canvas.pose, middle - reach, middle + reach)
    if located is None:
        return None
    box, (z, y, x) = located
    z, y, x = z - np.float32(middle[0]), y - np.float32(middle[1]), x - np.float32(middle[2])
    inverse = np.linalg.inv(canvas.pose.matrix).astype(np.float32)
    at = [line[0] * z + line[1] * y + line[2] * x for line in inverse]
    return box, _soften(distance(*at), canvas.softness_mm)


def paint(canvas: Canvas, box: tuple[slice, slice, slice], coverage: NDArray[np.float32], hu: float) -> None:
    """Keep, voxel by voxel, whatever covers more."""
    current = canvas.coverage[box]
    better = coverage > current
    canvas.hu[box][better] = hu
    np.maximum(current, coverage, out=current)


def _draw_cone(canvas: Canvas, start: Array, end: Array, first: float, last: float, hu: float) -> None:
    reach = max(first, last) + 2 * canvas.softness_mm
    located = _box(canvas.pose, np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    if located is None:
        return
    box, (z, y, x) = located
    z, y, x = z - start[0], y - start[1], x - start[2]
    axis = end - start
    along = np.clip((z * axis[0] + y * axis[1] + x * axis[2]) / max(float(axis @ axis), 1e-9), 0, 1)
    square = (z - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2 + (x - along * axis[2]) ** 2
    coverage = _soften(np.sqrt(square) - (first + along * (last - first)), canvas.softness_mm)
    coverage *= _thin_vessel_loss((first + last) / 2, canvas.softness_mm)
    paint(canvas, box, coverage, hu)


def _box(
    pose: Pose, low: Array, high: Array
) -> tuple[tuple[slice, slice, slice], tuple[NDArray[np.float32], ...]] | None:
    starts = np.maximum(np.floor(low / pose.spacing_mm).astype(int), 0)
    ends = np.minimum(np.ceil(high / pose.spacing_mm).astype(int) + 1, pose.shape)
    if np.any(ends <= starts):
        return None
    box = (slice(starts[0], ends[0]), slice(starts[1], ends[1]), slice(starts[2], ends[2]))
    grids = tuple(
        (np.arange(starts[n], ends[n]) * pose.spacing_mm[n])
        .astype(np.float32)
        .reshape([-1 if m == n else 1 for m in range(3)])
        for n in range(3)
    )
    return box, grids


def _soften(signed_distance: NDArray[np.floating], softness_mm: float) -> NDArray[np.float32]:
    return np.clip(0.5 - signed_distance / (2 * softness_mm), 0, 1).astype(np.float32)


def _thin_vessel_loss(radius: float, softness_mm: float) -> float:
    """Peak left of a thin cylinder after blurring: 1 - exp(-r^2 / (2 sigma^2)), sigma from the softness."""
    sigma = softness_mm * 0.7
    return 1.0 - float(np.exp(-(radius**2) / (2 * sigma**2)))
