"""Bone and openings of the skull base that lie close to arteries, hence where a network has to tell them apart."""

import numpy as np
from numpy.typing import NDArray

from training.phantom.canvas import blend_ellipsoid, new_canvas
from training.phantom.pose import Pose

BONE_HU, MARROW_HU, SOFT_HU, AIR_HU = 980.0, 380.0, 50.0, -900.0
OPEN_AIR_HU = -600.0
"""What is below is a sinus or outside, and stays."""
CORTEX_MM = 1.3
PNEUMATISED = 0.2
"""Of anterior clinoid processes."""

Point = tuple[float, float, float]
# (centre, axes) in head mm; sided where x is not 0.
CLINOIDS: tuple[tuple[Point, Point], ...] = (
    ((15.0, -11.0, -2.5), (3.0, 6.5, 2.6)),  # anterior, lateral to the carotid
    ((6.5, 2.5, -8.0), (2.2, 2.2, 4.0)),  # posterior, on the dorsum sellae
    ((24.0, -11.0, -3.0), (11.0, 2.2, 1.8)),  # lesser wing of the sphenoid
)
OPENINGS: tuple[tuple[Point, Point], ...] = (
    ((0.0, 37.0, -48.0), (15.0, 17.0, 7.0)),  # foramen magnum
    ((29.0, 27.0, -46.0), (5.0, 7.0, 7.0)),  # jugular foramen
    ((23.0, 1.0, -27.0), (2.6, 3.6, 6.0)),  # foramen ovale
    ((17.0, -10.0, -14.0), (2.4, 5.0, 2.6)),  # superior orbital fissure
    ((16.0, 20.0, -18.0), (7.0, 2.6, 2.6)),  # internal acoustic canal
)


def add_base_detail(rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, softness_mm: float) -> None:
    """Adds processes and openings to (D, H, W) HU of a head, in place, each drawn a little differently."""
    canvas = new_canvas(pose, softness_mm)
    for side in (1.0, -1.0):
        for centre, axes in OPENINGS:
            if centre[0] or side > 0:
                blend_ellipsoid(hu, canvas, _placed(rng, centre, side), _sized(rng, axes), SOFT_HU, OPEN_AIR_HU)
        for centre, axes in CLINOIDS:
            middle, size = _placed(rng, centre, side), _sized(rng, axes)
            blend_ellipsoid(hu, canvas, middle, size, BONE_HU, OPEN_AIR_HU)
            core = AIR_HU if rng.random() < PNEUMATISED else MARROW_HU
            blend_ellipsoid(hu, canvas, middle, np.maximum(size - CORTEX_MM, 0.3), core, OPEN_AIR_HU)


def _placed(rng: np.random.Generator, centre: Point, side: float) -> NDArray[np.float64]:
    return (np.array(centre) + rng.normal(0, 0.7, 3)) * [side, 1, 1]


def _sized(rng: np.random.Generator, axes: Point) -> NDArray[np.float64]:
    return np.array(axes) * rng.uniform(0.8, 1.25, 3)
