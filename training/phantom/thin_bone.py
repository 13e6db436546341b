"""Bone that is thin or small, which partial volume makes as bright as a vessel: face, skull base, calcifications."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from training.phantom.canvas import Canvas, draw_tube, ellipsoid, new_canvas, paint
from training.phantom.lower_head import outer_air
from training.phantom.pose import Pose

Array = NDArray[np.float64]
Point = tuple[float, float, float]

BONE_HU, THIN_HU = (450.0, 1100.0), (150.0, 800.0)
CALCIFIED_HU = (110.0, 600.0)
JITTER_MM = 1.2
STEPS = 12
"""Of a rod, from one of its points to the next."""


@dataclass(frozen=True)
class Rod:
    """A bone along points in head mm, of a radius in mm; on both sides where x is not 0."""

    points: tuple[Point, ...]
    radius: float


@dataclass(frozen=True)
class Plate:
    """A flat bone: centre and semi-axes in head mm, turned by degrees about z; on both sides where x is not 0."""

    centre: Point
    axes: Point
    turned: float


RODS = (
    Rod(((46, -50, -18), (58, -36, -20), (65, -18, -22), (64, -2, -22)), 2.6),  # zygomatic arch
    Rod(((44, -62, -2), (47, -56, -10), (46, -52, -18)), 2.6),  # frontal process of the zygoma
    Rod(((14, -72, -22), (28, -70, -24), (42, -60, -22)), 1.8),  # lower edge of the orbit
    Rod(((4, -86, -10), (5, -92, -20), (6, -95, -28)), 1.1),  # nasal bone
    Rod(((50, 2, -26), (48, -4, -50), (42, -20, -78)), 3.0),  # ramus of the mandible
    Rod(((34, 18, -34), (32, 10, -50), (30, 4, -60)), 1.3),  # styloid process
    Rod(((0, -38, -98), (12, -34, -97), (22, -20, -94)), 2.0),  # hyoid
    Rod(((26, -14, -30), (28, -28, -33), (30, -40, -34)), 1.0),  # back wall of the maxilla
)
PLATES = (
    Plate((0, -52, -30), (0.7, 26, 15), 0),  # nasal septum
    Plate((13, -48, -10), (0.6, 20, 9), 8),  # medial wall of the orbit
    Plate((14, -12, -36), (0.8, 6, 12), -12),  # pterygoid plates
    Plate((20, -10, -36), (0.8, 6, 12), 25),
    Plate((7, -48, -34), (0.9, 18, 4), 0),  # turbinates
    Plate((8, -50, -42), (1.0, 18, 4), 0),
    Plate((30, -62, -42), (13, 0.8, 13), 15),  # front wall of the maxilla
    Plate((5, -42, -12), (0.5, 14, 8), 5),  # between ethmoid cells
    Plate((9, -40, -12), (0.5, 12, 8), -5),
)
FALX = ((0.0, -20.0, 60.0), (0.8, 35.0, 22.0))
"""Centre and reach of where calcified spots of the falx lie."""
CALCIFIED: tuple[tuple[Point, Point], ...] = (
    ((0, 34, 16), (2.5, 3.0, 2.2)),  # pineal gland
    ((17, 38, 16), (3.0, 4.0, 2.5)),  # choroid plexus
)
SPECKS = 36
"""Most small bones of no name in a head."""
SPECK_REGIONS: tuple[tuple[Point, Point], ...] = (
    ((0, -50, -26), (45, 28, 26)),  # face
    ((0, 10, -34), (55, 40, 14)),  # under the skull base
    ((0, 0, -14), (50, 40, 8)),  # on it
)


def add_thin_bone(rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, softness_mm: float) -> None:
    """Adds thin bones and calcifications to (D, H, W) HU of a head, in place, and none outside the skin.

    The face's bones by their places, each as dense as it happens to be; and small ones of no name, so that what is
    bright and small is known by its surroundings, wherever it lies.
    """
    canvas = new_canvas(pose, softness_mm)
    for side in (1.0, -1.0):
        for rod in RODS:
            if rod.points[0][0] or side > 0:
                _draw_rod(rng, canvas, rod, side)
    for side in (1.0, -1.0):
        for plate in PLATES:
            if plate.centre[0] or side > 0:
                turn = Rotation.from_euler("z", side * plate.turned + rng.normal(0, 6), degrees=True)
                _draw_piece(rng, canvas, np.array(plate.centre) * [side, 1, 1], plate.axes, turn, rng.uniform(*THIN_HU))
    for centre, axes, level in _spots(rng):
        _draw_piece(rng, canvas, centre, axes, Rotation.random(random_state=rng), level)
    _blend(hu, canvas)


def _draw_rod(rng: np.random.Generator, canvas: Canvas, rod: Rod, side: float) -> None:
    control = (np.array(rod.points, float) + rng.normal(0, JITTER_MM, (len(rod.points), 3))) * [side, 1, 1]
    at = np.linspace(0, len(control) - 1, STEPS * (len(control) - 1))
    points = np.stack([np.interp(at, range(len(control)), line) for line in control.T], axis=1)
    radii = np.full(len(points), rod.radius * rng.uniform(0.6, 1.3))
    draw_tube(canvas, points, radii, np.full(len(points), rng.uniform(*BONE_HU)))


def _draw_piece(
    rng: np.random.Generator, canvas: Canvas, centre: Array, axes: Point, turn: Rotation, level: float
) -> None:
    size = np.array(axes) * rng.uniform(0.75, 1.3, 3)
    drawn = ellipsoid(canvas, centre + rng.normal(0, JITTER_MM, 3), size, turn.as_matrix())
    if drawn is not None:
        paint(canvas, *drawn, level)


def _spots(rng: np.random.Generator) -> Iterator[tuple[Array, Point, float]]:
    """Centre, semi-axes and HU of calcifications and of small bones."""
    for centre, axes in CALCIFIED:
        for side in (1.0, -1.0) if centre[0] else (1.0,):
            if rng.random() < 0.4:
                yield np.array(centre) * [side, 1, 1], axes, rng.uniform(*CALCIFIED_HU)
    for _ in range(int(rng.integers(0, 4))):
        place = np.array(FALX[0]) + rng.uniform(-1, 1, 3) * FALX[1]
        yield place, (0.8, *rng.uniform(0.8, 5.0, 2)), rng.uniform(*CALCIFIED_HU)
    for _ in range(int(rng.integers(0, SPECKS + 1))):
        middle, reach = SPECK_REGIONS[int(rng.integers(len(SPECK_REGIONS)))]
        size = np.exp(rng.uniform(np.log(0.5), np.log(5.0), 3))
        yield np.array(middle) + rng.uniform(-1, 1, 3) * reach, (size[0], size[1], size[2]), rng.uniform(*THIN_HU)


def _blend(hu: NDArray[np.float32], canvas: Canvas) -> None:
    for values, coverage, level in zip(hu, canvas.coverage, canvas.hu, strict=True):
        if coverage.any():
            cover = np.where(outer_air(values), np.float32(0), coverage)
            np.maximum(values, values + cover * (level - values), out=values)
