"""A head CT angiogram made by a formula: the same voxels on every machine, no patient, no file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glianet.errors import SettingsError
from glianet.volume import Volume

SPACING_MM = (0.6, 0.45, 0.45)
"""Between slices, rows and columns."""
SMALLEST_SIZE = 64
"""Rows and columns."""
HEAD_SHARE = 0.5
"""Diameter of the head over the width of the field of view: what lies around it costs nothing where it is skipped."""
HEIGHT = 1.3
"""Half axis of the head along z over its radius."""
OUTLINES_HU = ((1.0, 50.0), (0.95, 900.0), (0.86, 35.0))
"""Scalp, skull and brain: radius over that of the head, and HU, from the outside inwards."""
AIR_HU, TABLE_HU, NOISE_HU = -1000.0, 150.0, 10.0
TABLE_ROWS = 6

TREES = 6
TRUNK_MM = (1.6, 2.2)
"""Smallest and largest radius of an artery where it begins."""
THINNEST_MM = 0.7
THINNING = 0.79
"""Radius of a branch over that of its parent: Murray's law, 2 to the power of -1/3."""
ARTERY_HU = (300.0, 400.0)
SAC_MM = (3.0, 5.0)
"""Smallest and largest radius of an aneurysm. One sits on the first fork of every other tree."""
BRAIN_LIMIT = 0.8
"""Nothing is drawn further from the centre than this share of the head's radius."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Canvas:
    """hu: (D, H, W) float32, painted on. centre, radius: of the head, mm. All points are (z, y, x) in mm."""

    hu: NDArray[np.float32]
    centre: Array
    radius: float


def make_head(slices: int, size: int, seed: int = 0) -> Volume:
    """Skull, brain, arteries that branch, aneurysms on them, noise, and a table below; the same bytes for a seed.

    (slices, size, size) int16 HU at 0.6 x 0.45 x 0.45 mm. The head is round and its diameter half of `size`; arteries
    and aneurysms have their own sizes in mm, whatever that of the head. Raises SettingsError where there is no room.
    """
    if slices < 1 or size < SMALLEST_SIZE:
        raise SettingsError(
            what=f"it needs a slice and {SMALLEST_SIZE} rows at least", where="head that is made"
        )
    rng = np.random.default_rng(seed)
    shape = (slices, size, size)
    canvas = _Canvas(
        np.full(shape, AIR_HU, np.float32),
        (np.array(shape) - 1) / 2 * SPACING_MM,
        HEAD_SHARE * size / 2 * SPACING_MM[1],
    )
    _paint_head(canvas)
    _paint_table(canvas)
    for number in range(TREES):
        _paint_tree(canvas, rng, number)
    canvas.hu[:] += NOISE_HU * rng.standard_normal(shape, np.float32)
    return Volume(np.rint(canvas.hu).astype(np.int16), _affine(shape))


def _paint_head(canvas: _Canvas) -> None:
    z, y, x = (
        (np.arange(length) * spacing - middle).reshape([-1 if axis == number else 1 for axis in range(3)])
        for number, (length, spacing, middle) in enumerate(
            zip(canvas.hu.shape, SPACING_MM, canvas.centre, strict=True)
        )
    )
    in_plane = y**2 + x**2
    for plane, height in zip(canvas.hu, z.ravel(), strict=True):
        distance = np.sqrt(in_plane[0] + (height / HEIGHT) ** 2) / canvas.radius
        for outline, level in OUTLINES_HU:
            plane[distance < outline] = level


def _paint_table(canvas: _Canvas) -> None:
    """A flat table behind the head, as wide as the head, a few rows away from it."""
    size = canvas.hu.shape[1]
    first = int(size * (0.5 + HEAD_SHARE / 2)) + 2 * TABLE_ROWS
    canvas.hu[:, first : first + TABLE_ROWS, size // 4 : -(size // 4)] = TABLE_HU


def _paint_tree(canvas: _Canvas, rng: np.random.Generator, number: int) -> None:
    """An artery from near the centre outwards, its branches, and an aneurysm on every other one."""
    angle = 2 * np.pi * (number + rng.uniform(-0.2, 0.2)) / TREES
    outwards = np.array([rng.uniform(-0.3, 0.3), np.sin(angle), np.cos(angle)])
    start = canvas.centre + 0.12 * canvas.radius * outwards
    level, radius = rng.uniform(*ARTERY_HU), rng.uniform(*TRUNK_MM)
    fork = _paint_artery(canvas, rng, start, outwards, radius, level)
    if number % 2 == 0:
        sac = rng.uniform(*SAC_MM)
        _paint_ball(canvas, fork + sac * _unit(rng.standard_normal(3)), sac, level)


def _paint_artery(
    canvas: _Canvas, rng: np.random.Generator, start: Array, direction: Array, radius: float, level: float
) -> Array:
    """One stretch, then two thinner ones from its end. Returns that end."""
    point, direction = start, _unit(direction)
    for _ in range(int(rng.uniform(0.2, 0.35) * canvas.radius / (radius / 2))):
        direction = _unit(direction + 0.12 * rng.standard_normal(3))
        point = point + direction * radius / 2
        if not _inside(canvas, point):
            return point
        _paint_ball(canvas, point, radius, level)
    if radius * THINNING >= THINNEST_MM:
        aside = 0.7 * _unit(np.cross(direction, rng.standard_normal(3)))
        for side in (aside, -aside):
            _paint_artery(canvas, rng, point, direction + side, radius * THINNING, level)
    return point


def _inside(canvas: _Canvas, point: Array) -> bool:
    away = (point - canvas.centre) / (HEIGHT, 1, 1)
    return bool(np.linalg.norm(away) < BRAIN_LIMIT * canvas.radius)


def _paint_ball(canvas: _Canvas, centre: Array, radius: float, level: float) -> None:
    """A ball whose edge is as soft as a voxel is wide."""
    spacing = np.array(SPACING_MM)
    first = np.maximum(np.floor((centre - radius) / spacing).astype(int) - 1, 0)
    last = np.minimum(np.ceil((centre + radius) / spacing).astype(int) + 2, canvas.hu.shape)
    if (last <= first).any():
        return
    z, y, x = np.ogrid[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    away = [
        (index * step - middle) ** 2 for index, step, middle in zip((z, y, x), spacing, centre, strict=True)
    ]
    covered = np.clip(0.5 - (np.sqrt(sum(away)) - radius) / spacing[0], 0, 1)
    part = canvas.hu[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    np.maximum(part, OUTLINES_HU[-1][1] + covered * (level - OUTLINES_HU[-1][1]), out=part)


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def _affine(shape: tuple[int, int, int]) -> Array:
    """Index (k, j, i, 1) to LPS mm, the origin in the middle of the volume."""
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.diag(SPACING_MM[::-1]))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine
