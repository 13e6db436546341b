"""Saccular aneurysms: drawn on the arteries at sites that aneurysms prefer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from training.phantom.arteries import ArterialTree, Site
from training.phantom.canvas import Canvas, ellipsoid, paint

Array = NDArray[np.float64]

# Volumes of the paper's released labels: 5th, 50th and 95th percentile 9, 61 and 644 mm3.
MEDIAN_VOLUME_MM3 = 61.0
LOG_VOLUME_SIGMA = 1.25
VOLUME_RANGE_MM3 = (9.0, 700.0)

TRIALS_PER_SAC = 40
MINIMUM_GAP_MM = 2.0
GREATEST_SHARE_IN_OTHER_VESSELS = 0.30
GREATEST_TISSUE_HU = 250.0
"""A sac is not put into bone."""


@dataclass(frozen=True)
class _Lobe:
    box: tuple[slice, slice, slice]
    coverage: NDArray[np.float32]


def plant_sacs(
    rng: np.random.Generator, canvas: Canvas, tree: ArterialTree, tissue: NDArray[np.float32], count: int
) -> NDArray[np.uint8]:
    """Draw up to `count` sacs onto the canvas and return their labels.

    canvas: the drawn arteries. tissue: (D, H, W) HU without vessels. Returns (D, H, W) uint8, the number of
    the sac from 1, the parent vessel left out. Fewer are planted where no site in the slab is free.
    """
    labels = np.zeros(canvas.coverage.shape, np.uint8)
    arteries = canvas.coverage.copy()
    taken: list[tuple[Array, float]] = []
    for _ in range(count):
        for _ in range(TRIALS_PER_SAC):
            site = _draw_site(rng, tree)
            if _plant(rng, canvas, site, arteries, tissue, labels, taken):
                break
    return labels


def _draw_site(rng: np.random.Generator, tree: ArterialTree) -> Site:
    weights = np.array([site.weight for site in tree.sites])
    return tree.sites[int(rng.choice(len(weights), p=weights / weights.sum()))]


def _plant(
    rng: np.random.Generator,
    canvas: Canvas,
    site: Site,
    arteries: NDArray[np.float32],
    tissue: NDArray[np.float32],
    labels: NDArray[np.uint8],
    taken: list[tuple[Array, float]],
) -> bool:
    radius = _draw_radius(rng, site)
    direction = site.direction + rng.normal(0, 0.25, 3)
    direction /= np.linalg.norm(direction)
    centre = site.point + direction * (0.85 * site.radius + rng.uniform(0.55, 0.85) * radius)
    near = any(np.linalg.norm(centre - c) < radius + r + MINIMUM_GAP_MM for c, r in taken)
    if near or not _inside(canvas, centre, radius):
        return False
    lobes = _draw_lobes(rng, canvas, site, centre, radius, direction)
    if not lobes or not _fits(lobes[0], arteries, tissue):
        return False
    number = len(taken) + 1
    level = _lumen_hu(canvas, lobes[0], arteries)
    for lobe in lobes:
        own = (lobe.coverage > 0.5) & (arteries[lobe.box] < 0.5) & (labels[lobe.box] == 0)
        labels[lobe.box][own] = number
        paint(canvas, lobe.box, lobe.coverage, level)
    taken.append((centre, radius))
    return True


def _draw_radius(rng: np.random.Generator, site: Site) -> float:
    """Radius (mm) of a sac by the published volumes; thin vessels do not carry giant sacs."""
    limit = VOLUME_RANGE_MM3[1] if site.radius > 0.9 else 80.0
    volume = MEDIAN_VOLUME_MM3 * np.exp(rng.normal(0, LOG_VOLUME_SIGMA))
    volume = float(np.clip(volume, VOLUME_RANGE_MM3[0], limit)) * 1.12  # what the parent vessel takes of it
    return float((3 * volume / (4 * np.pi)) ** (1 / 3))


def _inside(canvas: Canvas, centre: Array, radius: float) -> bool:
    middle = canvas.pose.to_array_mm(centre[None])[0]
    extent = np.array(canvas.pose.shape) * canvas.pose.spacing_mm
    return bool(np.all(middle - radius > 2) and np.all(middle + radius < extent - 2))


def _draw_lobes(
    rng: np.random.Generator, canvas: Canvas, site: Site, centre: Array, radius: float, direction: Array
) -> list[_Lobe]:
    """The sac, a slightly uneven ellipsoid, and on some a daughter lobe."""
    lobes = [_lobe(canvas, centre, radius * _uneven(rng), rng)]
    if rng.random() < 0.3 and radius > 2:
        aside = direction + rng.normal(0, 0.6, 3)
        bleb = centre + radius * 0.75 * aside / np.linalg.norm(aside)
        lobes.append(_lobe(canvas, bleb, radius * rng.uniform(0.35, 0.55) * _uneven(rng), rng))
    return [lobe for lobe in lobes if lobe is not None]


def _lobe(canvas: Canvas, centre: Array, axes: Array, rng: np.random.Generator) -> _Lobe | None:
    drawn = ellipsoid(
        canvas, centre, axes, Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    )
    return None if drawn is None else _Lobe(*drawn)


def _uneven(rng: np.random.Generator) -> Array:
    axes = rng.uniform(0.85, 1.18, 3)
    return axes / np.prod(axes) ** (1 / 3)


def _fits(lobe: _Lobe, arteries: NDArray[np.float32], tissue: NDArray[np.float32]) -> bool:
    """It touches its parent, lies mostly outside vessels, and in soft tissue or fluid."""
    sac = lobe.coverage > 0.5
    if sac.sum() < 20:
        return False
    shared = float((arteries[lobe.box][sac] > 0.5).mean())
    surroundings = float(tissue[lobe.box][sac].mean())
    return 0.01 < shared < GREATEST_SHARE_IN_OTHER_VESSELS and -40 < surroundings < GREATEST_TISSUE_HU


def _lumen_hu(canvas: Canvas, lobe: _Lobe, arteries: NDArray[np.float32]) -> float:
    """The parent's own contrast, where the sac touches it."""
    touching = (lobe.coverage > 0.5) & (arteries[lobe.box] > 0.5)
    return float(canvas.hu[lobe.box][touching].mean())
