"""Distal branches: forks that follow Murray's law and wander outward until they are too thin to see."""

import numpy as np
from numpy.typing import NDArray

from training.phantom.vessel import Vessel, perpendicular, smooth_vessel, with_loop

Array = NDArray[np.float64]
Fork = tuple[Array, Array, float]
"""Point, forward direction of the parent, radius of the parent (mm)."""

THINNEST_MM = 0.4
MAXIMUM_GENERATION = 4
BRAIN_CENTRE_MM = np.array([0.0, 12.0, 24.0])
BRAIN_AXES_MM = np.array([58.0, 78.0, 66.0])
LOOP_SHARE = 0.12


def grow_branches(rng: np.random.Generator, trunk: Vessel) -> tuple[list[Vessel], list[Fork]]:
    """Branches of a trunk: side branches along it and a fork at its end, each branching on.

    Returns the branches and the forks, where an aneurysm may sit.
    """
    branches: list[Vessel] = []
    forks: list[Fork] = []
    small = trunk.name == "M1"
    for at in rng.integers(3, max(len(trunk.points) - 1, 4), 3 if small else 4):
        index = min(int(at), len(trunk.points) - 2)
        direction = _direction(trunk.points, index)
        radius = float(trunk.radii[index])
        child = 0.4 if small else radius * rng.uniform(0.45, 0.75)
        if not small:
            forks.append((trunk.points[index], direction, radius))
        _grow(rng, trunk, trunk.points[index], _bend(rng, direction, 45, 85), child, 1, branches, forks)
    if not small:
        _fork(
            rng,
            trunk,
            trunk.points[-1],
            _direction(trunk.points, -2),
            float(trunk.radii[-1]),
            0,
            branches,
            forks,
        )
    return branches, forks


def _fork(
    rng: np.random.Generator,
    trunk: Vessel,
    point: Array,
    direction: Array,
    radius: float,
    generation: int,
    branches: list[Vessel],
    forks: list[Fork],
) -> None:
    forks.append((point, direction, radius))
    share = rng.uniform(0.35, 0.65)
    for part in (share, 1 - share):
        child = radius * part ** (1 / 3)
        _grow(rng, trunk, point, _bend(rng, direction, 20, 55), child, generation + 1, branches, forks)


def _grow(
    rng: np.random.Generator,
    trunk: Vessel,
    start: Array,
    direction: Array,
    radius: float,
    generation: int,
    branches: list[Vessel],
    forks: list[Fork],
) -> None:
    if radius < THINNEST_MM or generation > MAXIMUM_GENERATION:
        return
    control = _wander(rng, start, direction, rng.uniform(9, 22))
    fading = trunk.hu * (0.94**generation)
    branch = smooth_vessel(rng, f"{trunk.name} branch", control, (radius, radius * 0.85), fading, 0.8)
    if rng.random() < LOOP_SHARE:
        branch = with_loop(rng, branch)
    branches.append(branch)
    end = branch.points[-1]
    _fork(rng, trunk, end, _direction(branch.points, -2), radius * 0.85, generation, branches, forks)


def _wander(rng: np.random.Generator, start: Array, direction: Array, length: float) -> Array:
    """Control points every 4 mm or so; the walk turns back where it would leave the brain."""
    points, count = [start], max(int(length / 4), 3)
    for _ in range(count):
        outward = (points[-1] - BRAIN_CENTRE_MM) / BRAIN_AXES_MM
        depth = float(np.linalg.norm(outward))
        pull = -outward * max(depth - 0.85, 0) * 6 if depth > 0.85 else outward * 0.15
        direction = direction + rng.normal(0, 0.35, 3) + pull
        direction = direction / (np.linalg.norm(direction) + 1e-9)
        points.append(points[-1] + direction * length / count)
    return np.array(points)


def _bend(rng: np.random.Generator, direction: Array, least: float, most: float) -> Array:
    angle = np.deg2rad(rng.uniform(least, most))
    return direction * np.cos(angle) + perpendicular(rng, direction) * np.sin(angle)


def _direction(points: Array, index: int) -> Array:
    step = points[index + 1] - points[index]
    return step / (np.linalg.norm(step) + 1e-9)
