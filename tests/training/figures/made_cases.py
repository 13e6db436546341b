"""A head of ellipsoids with an aneurysm at a known place, to be drawn."""

import numpy as np

from training.figures.risk_panels import RiskCase
from training.figures.segmentation_panels import PanelCase

SHAPE = (60, 120, 100)
SPACING_MM = (2.0, 1.5, 1.5)
CENTRE = (20, 45, 65)


def panel_case(name: str, shift: int = 0) -> PanelCase:
    """Two models: one beside the truth by `shift` voxels and one with a false positive."""
    hu, truth = _head()
    near, far = np.roll(truth, shift + 1, axis=2), np.roll(truth, (2, -25), axis=(0, 1))
    return PanelCase(name, hu, SPACING_MM, truth, {"GLIA-Net": near, "U-Net": truth | far})


def risk_case(name: str) -> RiskCase:
    """Risk falls off from the aneurysm; the prediction has a second target 25 rows ahead."""
    hu, truth = _head()
    distance = np.linalg.norm((np.indices(SHAPE).T - CENTRE) * SPACING_MM, axis=-1).T
    risk = np.exp(-((distance / 40) ** 2))
    return RiskCase(name, hu, SPACING_MM, risk, truth, truth | np.roll(truth, -25, axis=1))


def _head() -> tuple[np.ndarray, np.ndarray]:
    k, j, i = np.indices(SHAPE).astype(float)
    radius = np.sqrt(((k - 30) / 27) ** 2 + ((j - 60) / 55) ** 2 + ((i - 50) / 45) ** 2)
    hu = np.where(radius < 1, 900, -1000).astype(np.int16)
    hu[radius < 0.93] = 40
    hu[((i - 65) ** 2 + (j - 47) ** 2 < 6) & (radius < 0.9)] = 300
    truth = ((k - CENTRE[0]) * 2) ** 2 + ((j - CENTRE[1]) * 1.5) ** 2 + ((i - CENTRE[2]) * 1.5) ** 2 < 36
    hu[truth] = 320
    return hu, truth
