"""Labels on disk: one case with two aneurysms, one with none; and readings of them."""

from pathlib import Path

import numpy as np

from glianet.nifti import write_nifti
from training.manifest import ManifestCase

SHAPE = (20, 30, 40)
AFFINE = np.array([[0, 0, 0.5, -10], [0, 0.5, 0, -20], [1.0, 0, 0, 30], [0, 0, 0, 1]])
"""Index (k, j, i) to (x, y, z) = (0.5 i - 10, 0.5 j - 20, k + 30) mm."""

FIRST, SECOND = (5, 8, 10), (12, 20, 30)
FIRST_MM, SECOND_MM = (-5.0, -16.0, 35.0), (5.0, -10.0, 42.0)


def cube(*centres: tuple[int, int, int], side: int = 5) -> np.ndarray:
    """125 voxels around each: radius 0.62 * 5 = 3.1 voxels."""
    mask = np.zeros(SHAPE, np.uint8)
    for centre in centres:
        mask[tuple(slice(c - side // 2, c + side // 2 + 1) for c in centre)] = 1
    return mask


def made_cases(folder: Path) -> tuple[ManifestCase, ManifestCase]:
    """The cases "two" and "none"."""
    cases = []
    for name, mask in (("two", cube(FIRST, SECOND)), ("none", cube())):
        label = folder / f"{name}.nii.gz"
        write_nifti(label, mask, AFFINE)
        cases.append(ManifestCase(name, folder / "image.nii.gz", label, name))
    return cases[0], cases[1]
