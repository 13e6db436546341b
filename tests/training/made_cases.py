"""Cases made by hand for tests: a cube of an aneurysm in an otherwise known volume."""

import numpy as np

from training.phantom import Phantom, PlantedAneurysm
from training.stream import Case

SIDE = 64
CENTRE = (20, 30, 40)


def cube_phantom(seed: int = 0, side: int = SIDE) -> Phantom:
    """Voxel (k, j, i) holds 10 k + 3 j + i HU; around CENTRE lies a 5^3 aneurysm of 350 HU."""
    k, j, i = np.indices((side, side, side))
    hu = (k * 10 + j * 3 + i).astype(np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    sac = tuple(slice(c - 2, c + 3) for c in CENTRE)
    hu[sac], labels[sac] = 350, 1
    affine = np.array([[0, 0, 0.5, -10], [0, 0.5, 0, -20], [1.0, 0, 0, -30], [0, 0, 0, 1]])
    x, y, z = (affine[:3, :3] @ CENTRE + affine[:3, 3]).tolist()
    planted = PlantedAneurysm(1, (x, y, z), 3.9, 31.25)
    return Phantom(hu, labels, affine, (planted,), np.array([CENTRE], np.float32), seed)


def cube_case(seed: int = 0) -> Case:
    """The phantom as a training case; a module-level function, so that another process can call it."""
    points = np.array([[5, 5, 5], [50, 50, 50]])
    return Case(cube_phantom(seed), points, points, points)
