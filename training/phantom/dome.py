"""The shape of a saccular aneurysm: a lobulated dome on a neck, as a signed distance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from training.phantom.canvas import Canvas, draw_implicit

Array = NDArray[np.float64]
Field = NDArray[np.float32]

BLEND_SHARE = 0.35
"""Of the smaller of two parts' radii, over which they flow into each other."""

MOST_BLEBS = 3
ASPECT = (0.65, 1.5)
"""Longest and shortest half axis of a dome, relative to the sphere of its volume."""


@dataclass(frozen=True, eq=False)
class Part:
    """An ellipsoid: centre (3,) head mm, half axes (3,) mm, rotation (3, 3) with an axis in each row."""

    centre: Array
    axes: Array
    rotation: Array


@dataclass(frozen=True, eq=False)
class Dome:
    """Dome, blebs and neck of one aneurysm, and the unevenness of its wall.

    neck: from a point on the parent's centreline to the dome's centre, with its radius in mm. waves: (K, 3) per mm,
    phases: (K,), amplitude_mm: of the wall's displacement.
    """

    parts: tuple[Part, ...]
    neck_start: Array
    neck_radius: float
    waves: Array
    phases: Array
    amplitude_mm: float

    @property
    def centre(self) -> Array:
        """Of the dome without blebs and neck, head mm."""
        return self.parts[0].centre

    @property
    def reach_mm(self) -> float:
        """Half edge of a cube around the centre that holds all of it."""
        parts = [float(np.linalg.norm(part.centre - self.centre) + part.axes.max()) for part in self.parts]
        return max(*parts, float(np.linalg.norm(self.neck_start - self.centre)) + self.neck_radius) + self.amplitude_mm


def draw_dome(
    rng: np.random.Generator, neck_start: Array, parent_radius: float, direction: Array, radius: float
) -> Dome:
    """A random shape whose dome has the volume of a sphere of `radius` mm.

    neck_start: on the parent's centreline; direction: unit vector that the dome grows along.
    """
    tall = rng.uniform(0.6, 1.25) if rng.random() < 0.8 else rng.uniform(1.25, 1.9)
    centre = neck_start + direction * (0.8 * parent_radius + tall * radius * rng.uniform(0.7, 1.0))
    parts = [Part(centre, radius * _axes(rng), _rotation(rng))]
    for _ in range(int(rng.choice(MOST_BLEBS + 1, p=(0.5, 0.28, 0.15, 0.07)))):
        outward = direction * rng.uniform(0, 0.8) + rng.normal(0, 0.7, 3)
        outward /= np.linalg.norm(outward) + 1e-9
        size = radius * rng.uniform(0.3, 0.65)
        parts.append(Part(centre + outward * radius * rng.uniform(0.7, 1.05), size * _axes(rng), _rotation(rng)))
    return Dome(
        parts=tuple(parts),
        neck_start=neck_start,
        neck_radius=float(np.clip(radius * rng.uniform(0.35, 0.95), 0.5, max(1.6 * parent_radius, 0.6))),
        waves=rng.normal(0, 1, (4, 3)) * rng.uniform(0.7, 1.6) * 2 / max(radius, 1.0),
        phases=rng.uniform(0, 2 * np.pi, 4),
        amplitude_mm=float(radius * rng.uniform(0.0, 0.12)),
    )


def cover(canvas: Canvas, dome: Dome) -> tuple[tuple[slice, slice, slice], Field] | None:
    """Box and coverage (float32, 0 to 1) of the dome on the canvas; None outside the grid."""
    return draw_implicit(canvas, dome.centre, dome.reach_mm, lambda x, y, z: _distance(dome, x, y, z))


def _distance(dome: Dome, x: Field, y: Field, z: Field) -> Field:
    """Signed distance in mm, negative inside, of points at (x, y, z) head mm from the dome's centre."""
    distance = _ellipsoid(dome.parts[0], dome.centre, x, y, z)
    for part in dome.parts[1:]:
        distance = _blended(distance, _ellipsoid(part, dome.centre, x, y, z), BLEND_SHARE * float(part.axes.min()))
    neck = _capsule(dome.neck_start - dome.centre, dome.neck_radius, x, y, z)
    distance = _blended(distance, neck, BLEND_SHARE * dome.neck_radius)
    for wave, phase in zip(dome.waves, dome.phases, strict=True):
        distance += np.float32(dome.amplitude_mm / 2) * np.sin(wave[0] * x + wave[1] * y + wave[2] * z + phase)
    return distance.astype(np.float32)


def _ellipsoid(part: Part, origin: Array, x: Field, y: Field, z: Field) -> Field:
    dx, dy, dz = (np.float32(value) for value in part.centre - origin)
    x, y, z = x - dx, y - dy, z - dz
    inner = np.float32(0)
    for row, axis in zip(part.rotation, part.axes, strict=True):
        inner = inner + ((row[0] * x + row[1] * y + row[2] * z) / axis) ** 2
    distance, scaled = np.sqrt(x**2 + y**2 + z**2) + 1e-6, np.sqrt(inner) + 1e-6
    return np.asarray(distance - distance / scaled, np.float32)


def _capsule(start: Array, radius: float, x: Field, y: Field, z: Field) -> Field:
    """Around the line from `start` to the origin."""
    along = np.clip((x * start[0] + y * start[1] + z * start[2]) / max(float(start @ start), 1e-9), 0, 1)
    square = (x - along * start[0]) ** 2 + (y - along * start[1]) ** 2 + (z - along * start[2]) ** 2
    return np.asarray(np.sqrt(square) - radius, np.float32)


def _blended(one: Field, other: Field, width: float) -> Field:
    """The union of two shapes, smooth over a width in mm (polynomial smooth minimum)."""
    share = np.clip(0.5 + (other - one) / (2 * max(width, 1e-3)), 0, 1)
    return np.asarray(other + share * (one - other) - width * share * (1 - share), np.float32)


def _axes(rng: np.random.Generator) -> Array:
    axes = rng.uniform(*ASPECT, 3)
    return axes / np.prod(axes) ** (1 / 3)


def _rotation(rng: np.random.Generator) -> Array:
    return Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
