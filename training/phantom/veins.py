"""Veins and sinuses: enhanced look-alikes that carry no label."""

import numpy as np

from training.phantom.vessel import Vessel, smooth_vessel

SAGITTAL_SINUS = [
    (0, -58, 52),
    (0, -35, 92),
    (0, 12, 110),
    (0, 58, 94),
    (0, 86, 62),
    (0, 93, 30),
    (0, 88, 10),
]
STRAIGHT_SINUS = [(0, 40, 18), (0, 62, 20), (0, 88, 10)]
GALEN = [(0, 30, 17), (0, 36, 20), (0, 40, 18)]
SIDED: dict[str, tuple[list[tuple[float, float, float]], tuple[float, float]]] = {
    "transverse sinus": (
        [(0, 88, 10), (25, 84, 4), (48, 62, -4), (54, 46, -8), (50, 38, -22), (34, 30, -42), (28, 26, -70)],
        (3.2, 3.6),
    ),
    "internal cerebral": ([(1.5, -2, 22), (2, 14, 24), (0, 30, 17)], (0.9, 1.1)),
    "basal vein": ([(14, -2, -2), (17, 10, 0), (15, 24, 8), (0, 33, 16)], (0.8, 1.2)),
    "sphenoparietal": ([(48, -8, 10), (38, -16, 2), (24, -14, -4), (13, -6, -12)], (0.9, 1.2)),
    "petrosal": ([(12, 2, -14), (28, 16, -12), (48, 36, -14)], (1.0, 1.3)),
}


def grow_veins(rng: np.random.Generator, hu: float) -> list[Vessel]:
    """Dural sinuses, deep veins and cortical veins that join the sagittal sinus."""
    veins = [
        smooth_vessel(rng, "sagittal sinus", np.array(SAGITTAL_SINUS, float), (2.0, 3.8), hu, 0.8),
        smooth_vessel(rng, "straight sinus", np.array(STRAIGHT_SINUS, float), (1.8, 2.4), hu, 0.5),
        smooth_vessel(rng, "vein of Galen", np.array(GALEN, float), (1.6, 2.0), hu, 0.3),
    ]
    for side in (1.0, -1.0):
        dominance = rng.uniform(0.5, 1.1)
        for name, (course, radii) in SIDED.items():
            factor = dominance if name == "transverse sinus" else rng.uniform(0.7, 1.2)
            control = np.array(course, float) * [side, 1, 1]
            veins.append(smooth_vessel(rng, name, control, (radii[0] * factor, radii[1] * factor), hu, 1.0))
        for _ in range(int(rng.integers(2, 6))):
            veins.append(_cortical_vein(rng, side, hu))
    return veins


def _cortical_vein(rng: np.random.Generator, side: float, hu: float) -> Vessel:
    """From the Sylvian region over the convexity to the sagittal sinus, just under the skull."""
    y = rng.uniform(-35, 70)
    angles = np.linspace(rng.uniform(5, 35), 84, 6)
    x = side * 60 * np.cos(np.deg2rad(angles))
    z = 24 + 78 * np.sin(np.deg2rad(angles)) * np.sqrt(max(1 - ((y - 12) / 88) ** 2, 0.1))
    course = np.stack([x * np.sqrt(max(1 - ((y - 12) / 88) ** 2, 0.1)), y + np.linspace(6, -6, 6), z], axis=1)
    return smooth_vessel(rng, "cortical vein", course, (0.7, 1.3), hu * 0.9, 1.5)
