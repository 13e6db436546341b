"""What goes into a phantom and what comes out of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GENERATOR_VERSION = "6"
"""Raised whenever the same seed gives another phantom; those of the standard generator are the same since 1.

5: trainings draw a wider geometry. 6: varied phantoms without a template are uneven (`training.phantom.uneven`).
"""


@dataclass(frozen=True)
class PhantomSettings:
    """One head CTA slab around the circle of Willis, exactly axial, head first, supine.

    shape: (D, H, W) voxels; spacing_mm: (D, H, W). `aneurysms` is the least and the greatest number planted.
    `willis_fraction` is where the circle of Willis lies along the slab (0 foot, 1 head); None draws it.
    """

    shape: tuple[int, int, int] = (112, 512, 512)
    spacing_mm: tuple[float, float, float] = (0.6, 0.45, 0.45)
    aneurysms: tuple[int, int] = (3, 3)
    willis_fraction: float | None = None
    noise_hu: tuple[float, float] = (8.0, 20.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 8 or min(self.spacing_mm) <= 0:
            raise ValueError(
                f"phantom of shape {self.shape} and spacing {self.spacing_mm} mm cannot be drawn"
            )
        if not 0 <= self.aneurysms[0] <= self.aneurysms[1] <= 255:
            raise ValueError(f"number of aneurysms {self.aneurysms}: expected 0 <= least <= greatest <= 255")


@dataclass(frozen=True)
class PlantedAneurysm:
    """A sac as it stands in the labels. Centre in LPS mm, diameter that of the sphere of equal volume."""

    number: int
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float
    volume_mm3: float


@dataclass(frozen=True)
class Phantom:
    """A synthetic CTA.

    hu: (D, H, W) int16, Hounsfield units; axes slice foot to head (+S), row anterior to posterior (+P),
    column right to left (+L). labels: (D, H, W) uint8, the aneurysm's number or 0. affine: (4, 4), index
    (k, j, i, 1) to LPS mm. arteries: (N, 3) index (k, j, i) of centreline points inside the grid.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    aneurysms: tuple[PlantedAneurysm, ...]
    arteries: NDArray[np.float32]
    seed: int

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing (D, H, W) in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])
