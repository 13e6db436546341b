"""The arteries and veins of the neck, where a scan goes on below the skull base."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from training.phantom.vessel import STEP_MM, Vessel

Array = NDArray[np.float64]

VEIN_OF_NECK = "jugular"
"""Name of the vein among what is grown: as bright as arteries until it is drawn."""

# Steps (x away from the middle, y, z) in mm from the lower end of the artery that each continues, and its radii.
COURSES: dict[str, tuple[tuple[str, tuple[tuple[float, float, float], ...], tuple[float, float]], ...]] = {
    "ICA": (
        ("carotid", ((0, 0, 0), (2, 3, -18), (0, 4, -50), (-3, 6, -110), (-6, 10, -190)), (2.6, 3.3)),
        ("external carotid", ((2, 3, -18), (6, -6, -4), (12, -18, 10), (20, -16, 24)), (2.0, 1.0)),
        (VEIN_OF_NECK, ((7, 6, 0), (9, 4, -30), (8, 2, -90), (2, 4, -190)), (4.5, 5.5)),
    ),
    "VA": (("vertebral", ((0, 0, 0), (-1, 3, -14), (-4, 4, -50), (-6, 4, -100), (-8, 0, -160)), (1.8, 1.9)),),
}


def grow_neck_vessels(vessels: Sequence[Vessel]) -> list[Vessel]:
    """Of each carotid and vertebral artery what lies below; carotids fork, and a jugular vein runs beside them."""
    grown = []
    for vessel in vessels:
        lower = vessel.points[int(np.argmin(vessel.points[:, 2]))]
        side = 1.0 if lower[0] >= 0 else -1.0
        for name, steps, radii in COURSES.get(vessel.name, ()):
            points = _course(lower + np.array(steps, float) * [side, 1, 1])
            grown.append(Vessel(name, points, np.linspace(*radii, len(points)), vessel.hu))
    return grown


def _course(control: Array) -> Array:
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(control, axis=0), axis=1))])
    points: Array = CubicSpline(chord, control)(np.linspace(0, chord[-1], int(chord[-1] / STEP_MM) + 2))
    return points
