"""Cases made by hand for tests: a cube of an aneurysm in an otherwise known volume."""

import numpy as np
from numpy.typing import NDArray

from training.training_case import TrainingCase, case_from_arrays

SIDE = 100
CENTRE = (20, 30, 40)


def cube_volume(side: int = SIDE) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Voxel (k, j, i) holds 5 k + 3 j + i HU; around CENTRE lies a 5^3 aneurysm of 350 HU."""
    k, j, i = np.indices((side, side, side))
    hu = (k * 5 + j * 3 + i).astype(np.int16)
    mask = np.zeros(hu.shape, bool)
    sac = tuple(slice(c - 2, c + 3) for c in CENTRE)
    hu[sac], mask[sac] = 350, True
    return hu, mask


def cube_case(seed: int = 0) -> TrainingCase:
    """The volume as a training case; a module-level function, so that another process can call it."""
    hu, mask = cube_volume()
    return case_from_arrays(f"cube {seed}", hu, mask, seed, arteries=np.array([[5, 5, 5], [90, 90, 90]]))


def bright_ball(seed: int, side: int = 64) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Noise around 40 HU with a bright tube, and a ball on it that is the aneurysm."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((side,) * 3)
    at = rng.uniform(0.4, 0.6, 3) * side
    hu = np.full((side,) * 3, 40.0)
    hu[(y - at[1]) ** 2 + (x - at[2] + 7) ** 2 < 9] = 300
    mask = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < 36
    hu[mask] = 320
    hu += rng.normal(0, 8, hu.shape)
    return hu.round().astype(np.int16), mask
