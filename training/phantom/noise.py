"""Random fields: smooth ones for anatomy's irregularities, grainy ones for the scanner's noise."""

import numpy as np
import torch
from numpy.typing import NDArray


def smooth_field(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    scale_mm: float,
) -> NDArray[np.float32]:
    """(D, H, W) float32 of about unit variance that varies over `scale_mm`."""
    coarse = [max(int(np.ceil(n * s / scale_mm)) + 1, 2) for n, s in zip(shape, spacing_mm, strict=True)]
    knots = torch.from_numpy(rng.standard_normal(coarse, np.float32))[None, None]
    field = torch.nn.functional.interpolate(knots, size=shape, mode="trilinear", align_corners=True)
    smooth: NDArray[np.float32] = field[0, 0].numpy() * np.float32(1.7)
    return smooth


def scanner_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], sigma_hu: float
) -> NDArray[np.float32]:
    """(D, H, W) float32 HU, correlated over neighbouring voxels as a soft kernel leaves it."""
    grain: NDArray[np.float32] = rng.standard_normal(shape, np.float32)
    for axis in (1, 2):
        grain += np.float32(0.6) * np.roll(grain, 1, axis=axis)
    grain += np.float32(0.3) * np.roll(grain, 1, axis=0)
    grain *= np.float32(sigma_hu / (1.36 * np.sqrt(1.09)))
    return grain
