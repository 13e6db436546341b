"""Truth and probability by the formula that the published code's figures were taken with."""

import numpy as np
from numpy.typing import NDArray

SHAPE = (72, 80, 88)
SPACING_MM = (0.6, 0.45, 0.45)


def made_masks(seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Balls, most of them predicted slightly elsewhere, and balls that are predicted where none is."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]], axis=-1).astype(float)
    truth, probability = np.zeros(SHAPE, bool), np.zeros(SHAPE)

    def distance(centre: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.linalg.norm(grid - centre, axis=-1)

    for _ in range(rng.integers(2, 6)):
        centre, radius = rng.uniform(12, 60, 3), rng.uniform(1.8, 6)
        truth |= ((grid - centre) ** 2).sum(axis=-1) < radius**2
        if rng.random() < 0.75:
            elsewhere, other = centre + rng.normal(0, 1.2, 3), radius * rng.uniform(0.7, 1.2)
            probability = np.maximum(probability, 1 / (1 + np.exp((distance(elsewhere) - other) * 2)))
    for _ in range(rng.integers(1, 4)):
        centre, radius = rng.uniform(12, 60, 3), rng.uniform(1.2, 4)
        probability = np.maximum(probability, 0.9 / (1 + np.exp((distance(centre) - radius) * 2)))
    return truth, probability.round(6)
