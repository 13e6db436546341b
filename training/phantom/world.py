"""Surroundings that are no head: sheets and lumps of bone, pockets of air, fat and fluid anywhere."""

import numpy as np
from numpy.typing import NDArray

from training.phantom.noise import smooth_field
from training.phantom.pose import Pose

Field = NDArray[np.float32]

SOFT_HU, FAT_HU, FLUID_HU, AIR_HU = 38.0, -90.0, 8.0, -1000.0


def draw_world(rng: np.random.Generator, pose: Pose) -> Field:
    """(D, H, W) float32 HU of a place without contrast, in which bone is where random surfaces run."""

    def field(least_mm: float, most_mm: float) -> Field:
        return smooth_field(rng, pose.shape, pose.spacing_mm, rng.uniform(least_mm, most_mm))

    hu = np.full(pose.shape, SOFT_HU, np.float32)
    fine = field(2.5, 5)
    hu += np.float32(rng.uniform(2, 14)) * fine
    hu[field(8, 30) > rng.uniform(0.6, 2.0)] = FLUID_HU
    hu[field(8, 30) > rng.uniform(0.5, 2.0)] = FAT_HU
    _add_sheets(rng, hu, field(18, 45), fine)
    _add_lumps(rng, hu, field(8, 25), fine)
    hu[field(7, 22) > rng.uniform(1.0, 2.4)] = AIR_HU
    if rng.random() < 0.6:
        _cut_off(rng, hu, pose)
    return hu


def _add_sheets(rng: np.random.Generator, hu: Field, surface: Field, fine: Field) -> None:
    """Bone within a distance of the zero level of a field, with marrow in some."""
    distance, width = np.abs(surface), rng.uniform(0.05, 0.22)
    bone = distance < width
    hu[bone] = rng.uniform(600, 1300) + 120 * fine[bone]
    if rng.random() < 0.6:
        marrow = distance < 0.45 * width
        hu[marrow] = rng.uniform(100, 700) + 150 * fine[marrow]


def _add_lumps(rng: np.random.Generator, hu: Field, lumps: Field, fine: Field) -> None:
    """Thick bone, as the petrous: dense or spongy, with cells of air in some."""
    level = rng.uniform(0.9, 2.2)
    bone = lumps > level
    hu[bone] = rng.uniform(350, 1200) + rng.uniform(50, 350) * fine[bone]
    if rng.random() < 0.5:
        hu[bone & (fine > rng.uniform(0.6, 1.6)) & (lumps > level + 0.15)] = rng.uniform(-900, -300)


def _cut_off(rng: np.random.Generator, hu: Field, pose: Pose) -> None:
    """Air outside an ellipse, the same in all slices."""
    _, height, width = pose.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre, axes = rng.uniform(0.4, 0.6, 2), rng.uniform(0.3, 0.6, 2)
    outside = ((y / height - centre[0]) / axes[0]) ** 2 + ((x / width - centre[1]) / axes[1]) ** 2 > 1
    hu[:, outside] = AIR_HU
