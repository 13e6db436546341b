"""A vessel as a smooth tube through control points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]
STEP_MM = 1.0


@dataclass(frozen=True)
class Vessel:
    """points: (N, 3) head mm (x, y, z); radii: (N,) mm; hu: lumen HU before thinning by partial volume."""

    name: str
    points: Array
    radii: Array
    hu: float


def smooth_vessel(
    rng: np.random.Generator,
    name: str,
    control: Array,
    radii: tuple[float, float],
    hu: float,
    tortuosity_mm: float,
    fixed_ends: bool = True,
) -> Vessel:
    """A spline through jittered control points, resampled every STEP_MM, with a wavering course and calibre.

    fixed_ends keeps the first and last control point where they are, so that vessels meet.
    """
    control = np.asarray(control, float).copy()
    jitter = rng.normal(0, 0.6 * tortuosity_mm, control.shape)
    if fixed_ends:
        jitter[[0, -1]] = 0
    control += jitter
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(control, axis=0), axis=1) + 1e-3)])
    count = max(int(np.ceil(chord[-1] / STEP_MM)) + 1, 3)
    place = np.linspace(0, chord[-1], count)
    points = CubicSpline(chord, control)(place) if len(control) > 2 else _straight(control, chord, place)
    points = points + _waver(rng, count, chord[-1], tortuosity_mm)
    course = np.linspace(radii[0], radii[1], count)
    calibre = course * (1 + 0.06 * np.sin(place / rng.uniform(4, 9) + rng.uniform(0, 6.3)))
    return Vessel(name, points, calibre, hu)


def with_loop(rng: np.random.Generator, vessel: Vessel) -> Vessel:
    """The same vessel with one tight turn: a look-alike without an aneurysm."""
    count = len(vessel.points)
    if count < 12:
        return vessel
    at = int(rng.integers(4, count - 5))
    radius = rng.uniform(1.4, 2.6) + vessel.radii[at]
    direction = vessel.points[at + 1] - vessel.points[at]
    direction /= np.linalg.norm(direction) + 1e-9
    side = perpendicular(rng, direction)
    angle = np.linspace(0, 2 * np.pi, 14)[1:-1, None]
    third = np.cross(direction, side)
    turn = (
        direction * np.sin(angle) * radius + side * (1 - np.cos(angle)) * radius + third * angle * radius / 5
    )
    rest = vessel.points[at + 1 :] + third * 2 * np.pi * radius / 5 * _fade(count - at - 1)
    points = np.concatenate([vessel.points[: at + 1], vessel.points[at] + turn, rest])
    radii = np.concatenate([vessel.radii[: at + 1], np.full(12, vessel.radii[at]), vessel.radii[at + 1 :]])
    return Vessel(vessel.name, points, radii, vessel.hu)


def perpendicular(rng: np.random.Generator, direction: Array) -> Array:
    """A random unit vector at right angles to a unit vector."""
    candidate = rng.normal(size=3)
    candidate -= direction * (candidate @ direction)
    return candidate / (np.linalg.norm(candidate) + 1e-9)


def _straight(control: Array, chord: Array, place: Array) -> Array:
    return np.stack([np.interp(place, chord, control[:, n]) for n in range(3)], axis=1)


def _waver(rng: np.random.Generator, count: int, length: float, amplitude: float) -> Array:
    """Sideways sine waves that vanish at both ends."""
    place = np.linspace(0, 1, count)[:, None]
    waves = np.zeros((count, 3))
    for wavelength in (6.0, 14.0):
        cycles = length / (wavelength * rng.uniform(0.7, 1.4))
        phase = rng.uniform(0, 2 * np.pi, 3)
        waves += rng.normal(0, 0.35 * amplitude, 3) * np.sin(2 * np.pi * cycles * place + phase)
    return waves * np.sin(np.pi * place) ** 0.5


def _fade(count: int) -> Array:
    return np.linspace(1, 0, count)[:, None] ** 2
