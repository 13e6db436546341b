"""Vessels that are no circle of Willis: trees that start anywhere and wander, of any calibre."""

import numpy as np
from numpy.typing import NDArray

from training.phantom.arteries import ArterialTree, Site
from training.phantom.vessel import Vessel, perpendicular, smooth_vessel, with_loop

Array = NDArray[np.float64]

THINNEST_MM = 0.4
MOST_VESSELS = 150
LOOP_SHARE = 0.15
SITE_LEAST_RADIUS_MM = 0.5


def grow_wild_tree(rng: np.random.Generator, extent_mm: Array, hu: float, roots: int | None = None) -> ArterialTree:
    """Trees from several roots within an ellipsoid of half axes `extent_mm` around the head's origin.

    Every fork, and some places along each wall, are sites of aneurysms. Branches obey Murray's law by and large.
    """
    tree = ArterialTree()
    for _ in range(roots or int(rng.integers(5, 13))):
        start = rng.normal(0, 0.45, 3) * extent_mm
        radius = float(np.exp(rng.uniform(np.log(0.6), np.log(2.8))))
        _grow(rng, tree, start, _unit(rng.normal(size=3)), radius, rng.uniform(0.12, 0.7), extent_mm, hu)
    return tree


def _grow(
    rng: np.random.Generator,
    tree: ArterialTree,
    start: Array,
    direction: Array,
    radius: float,
    bending: float,
    extent_mm: Array,
    hu: float,
) -> None:
    if radius < THINNEST_MM or len(tree.vessels) >= MOST_VESSELS:
        return
    control = _wander(rng, start, direction, float(rng.uniform(8, 18) * (0.7 + radius)), bending, extent_mm)
    end_radius = radius * rng.uniform(0.75, 1.0)
    vessel = smooth_vessel(rng, "wild", control, (radius, end_radius), hu, rng.uniform(0.2, 1.0))
    if rng.random() < LOOP_SHARE:
        vessel = with_loop(rng, vessel)
    tree.vessels.append(vessel)
    _add_wall_sites(rng, tree, vessel)
    end, onward = vessel.points[-1], _unit(vessel.points[-1] - vessel.points[-2])
    if end_radius > SITE_LEAST_RADIUS_MM:
        tree.sites.append(Site("fork", end, onward, end_radius, 1.5))
    share = rng.uniform(0.2, 0.8)
    for part in (share, 1 - share):
        aside = _unit(onward * rng.uniform(0.3, 1.5) + perpendicular(rng, onward))
        _grow(rng, tree, end, aside, end_radius * part ** (1 / 3), bending, extent_mm, hu * rng.uniform(0.9, 1.0))


def _wander(
    rng: np.random.Generator, start: Array, direction: Array, length: float, bending: float, extent_mm: Array
) -> Array:
    """Control points every 3.5 mm or so; the walk turns back where it would leave the ellipsoid."""
    count = max(int(length / 3.5), 3)
    points = [start]
    for _ in range(count):
        outward = points[-1] / extent_mm
        depth = float(np.linalg.norm(outward))
        pull = -outward * max(depth - 0.8, 0) * 4
        direction = _unit(direction + rng.normal(0, bending, 3) + pull)
        points.append(points[-1] + direction * length / count)
    return np.array(points)


def _add_wall_sites(rng: np.random.Generator, tree: ArterialTree, vessel: Vessel) -> None:
    for _ in range(int(rng.integers(0, 3))):
        at = int(rng.integers(1, len(vessel.points) - 1))
        course = _unit(vessel.points[at + 1] - vessel.points[at - 1])
        tree.sites.append(
            Site("side wall", vessel.points[at], perpendicular(rng, course), float(vessel.radii[at]), 0.5)
        )


def _unit(vector: Array) -> Array:
    return vector / (np.linalg.norm(vector) + 1e-9)
