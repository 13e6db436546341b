"""Where the head lies in the scan: head mm (LPS axes, origin in the circle of Willis) to the array."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from training.phantom.model import PhantomSettings

MAXIMUM_TILT_DEGREES = 7.0
HEAD_CENTRE_MM = (0.0, 12.0, 28.0)
"""Centre of the cranium in head coordinates: behind and above the circle of Willis."""


@dataclass(frozen=True)
class Pose:
    """head point p (x, y, z) -> array position in mm (z, y, x) by `matrix @ p + offset`."""

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]

    def to_array_mm(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) head points (x, y, z) to (N, 3) array mm (z, y, x), 0 at the first voxel's centre."""
        return points @ self.matrix.T + self.offset

    def head_slice(self, k: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Head coordinates x, y, z, each (H, W) float32 mm, of the voxel centres of slice k."""
        inverse = np.linalg.inv(self.matrix)
        _, height, width = self.shape
        rows = (np.arange(height) * self.spacing_mm[1] - self.offset[1])[:, None]
        columns = (np.arange(width) * self.spacing_mm[2] - self.offset[2])[None, :]
        level = k * self.spacing_mm[0] - self.offset[0]
        x, y, z = (
            (line[0] * level + line[1] * rows + line[2] * columns).astype(np.float32) for line in inverse
        )
        return x, y, z


def draw_pose(rng: np.random.Generator, settings: PhantomSettings) -> Pose:
    """A head size, a slight tilt and a place in the field of view."""
    tilt = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * MAXIMUM_TILT_DEGREES, degrees=True).as_matrix()
    size = rng.uniform(0.93, 1.07)
    extent = np.array(settings.shape) * np.array(settings.spacing_mm)
    fraction = settings.willis_fraction if settings.willis_fraction is not None else rng.uniform(0.3, 0.6)
    centre = size * (tilt @ np.array(HEAD_CENTRE_MM))
    shift = rng.uniform(-6, 6, 2)
    offset = np.array(
        [extent[0] * fraction, extent[1] / 2 - centre[1] + shift[0], extent[2] / 2 - centre[0] + shift[1]]
    )
    swap = np.eye(3)[::-1]
    return Pose(swap @ (size * tilt), offset, settings.spacing_mm, settings.shape)
