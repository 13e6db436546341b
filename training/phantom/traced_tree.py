"""Traced trees of real vessels in SWC files, brought to where the circle of Willis lies.

SWC (Cannon et al. 1998): a line for each point, "number type x y z radius parent", parent -1 at a root. The axes are
taken as those of the BraVa collection (cng.gmu.edu/brava): x across the head, y upwards, z from front to back, mm.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.phantom.arteries import ArterialTree, Site
from training.phantom.vessel import Vessel, perpendicular

Array = NDArray[np.float64]

COLUMNS = 7
THICK_PERCENTILE = 90.0
"""Points at least as thick lie around the circle of Willis: their middle is put where it is."""
WILLIS_MM = np.array([0.0, 2.0, 4.0])
RADIUS_FACTOR = (1.0, 1.5)
"""Tracers take the bright core of a vessel for all of it: radii are enlarged by a factor of this range."""
LEAST_POINTS = 4
SITE_LEAST_RADIUS_MM = 0.55


def read_traced_tree(path: Path, rng: np.random.Generator, hu: float) -> ArterialTree:
    """The tree of one SWC file with forks and walls as sites; `rng` draws calibre, side and the sites on walls.

    Raises ValueError where the file is no SWC tree.
    """
    table = _read(path)
    points, radii = _placed(table[:, 2:5], table[:, 5] * rng.uniform(*RADIUS_FACTOR))
    if rng.random() < 0.5:
        points = points * [-1, 1, 1]
    index = {int(number): row for row, number in enumerate(table[:, 0])}
    parents = np.array([index.get(int(parent), -1) for parent in table[:, 6]])
    children = np.bincount(parents[parents >= 0], minlength=len(table))
    tree = ArterialTree()
    for run in _runs(parents, children):
        _add(rng, tree, points[run], radii[run], hu, forks=bool(children[run[-1]] > 1))
    return tree


def list_trees(folder: Path) -> tuple[Path, ...]:
    """The SWC files of a folder by name. Raises ValueError where there is none."""
    trees = tuple(sorted(folder.glob("*.swc")))
    if not trees:
        raise ValueError(f"{folder}: there is no tree (.swc)")
    return trees


def with_calibre(tree: ArterialTree, factor: float) -> ArterialTree:
    """The same tree with other radii."""
    return ArterialTree(
        [replace(vessel, radii=vessel.radii * factor) for vessel in tree.vessels],
        [replace(site, radius=site.radius * factor) for site in tree.sites],
    )


def _read(path: Path) -> Array:
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        table = np.array([[float(value) for value in row] for row in rows])
    except (OSError, ValueError) as problem:
        raise ValueError(f"{path}: it cannot be read as a tree in SWC format ({problem})") from problem
    if table.ndim != 2 or table.shape[1] != COLUMNS or not np.isfinite(table).all():
        raise ValueError(f"{path}: it is no tree in SWC format (seven numbers a line)")
    return table


def _placed(points: Array, radii: Array) -> tuple[Array, Array]:
    """File axes (across, up, back) to head mm (x left, y back, z up)."""
    head = points[:, [0, 2, 1]]
    thick = radii >= np.percentile(radii, THICK_PERCENTILE)
    middle = np.median(head[thick], axis=0)
    return head - middle + WILLIS_MM, radii


def _runs(parents: NDArray[np.intp], children: NDArray[np.intp]) -> list[list[int]]:
    """Rows from each fork, or root, to the next fork or end, both included."""
    runs = []
    for end in np.flatnonzero(children != 1):
        run, row = [int(end)], int(parents[end])
        while row >= 0:
            run.append(row)
            if children[row] != 1:
                break
            row = int(parents[row])
        runs.append(run[::-1])
    return [run for run in runs if len(run) >= LEAST_POINTS]


def _add(rng: np.random.Generator, tree: ArterialTree, points: Array, radii: Array, hu: float, *, forks: bool) -> None:
    tree.vessels.append(Vessel("traced", points, radii, hu))
    onward = points[-1] - points[-2]
    onward = onward / (np.linalg.norm(onward) + 1e-9)
    if forks and radii[-1] > SITE_LEAST_RADIUS_MM:
        tree.sites.append(Site("fork", points[-1], onward, float(radii[-1]), 1.5))
    at = int(rng.integers(1, len(points) - 1))
    course = points[at + 1] - points[at - 1]
    course = course / (np.linalg.norm(course) + 1e-9)
    if radii[at] > SITE_LEAST_RADIUS_MM:
        tree.sites.append(Site("side wall", points[at], perpendicular(rng, course), float(radii[at]), 0.3))
