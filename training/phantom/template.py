"""An averaged head CT as the surroundings of vessels: where a real skull is wanted.

Cormack units, in which some templates are stored, keep soft tissue apart from air and bone (Rorden et al. 2012,
doi 10.1016/j.neuroimage.2012.03.020): 11 steps for each HU from -100 to 100, one step for each below and above.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.phantom.pose import Pose

Field = NDArray[np.float32]

CORMACK = (0.0, 900.0, 3100.0, 7000.0)
CORMACK_HU = (-1000.0, -100.0, 100.0, 4000.0)

WILLIS_IN_TEMPLATE_MM = (0.0, -3.0, -17.0)
"""The circle of Willis, in mm to the left, back and head from the template's own origin (the anterior commissure)."""

VOXEL_TYPES = {2: "u1", 4: "<i2", 16: "<f4"}
HEADER_BYTES = 352
DIMENSIONS_AT, TYPE_AT, SPACING_AT, SLOPE_AT, SFORM_AT = 42, 70, 80, 112, 280
"""Bytes of fields of a NIfTI-1 header (nifti1.h)."""


@dataclass(frozen=True, eq=False)
class Template:
    """hu: (Z, Y, X) float32, axes up, back and to the left; origin: index (z, y, x) of the circle of Willis."""

    hu: Field
    origin: tuple[float, float, float]
    spacing_mm: float

    def at(self, pose: Pose) -> Field:
        """(D, H, W) float32 HU on a pose's grid; air outside."""
        out = np.empty(pose.shape, np.float32)
        for k in range(pose.shape[0]):
            head = pose.head_slice(k)
            index = [
                head[axis] / np.float32(self.spacing_mm) + np.float32(first)
                for axis, first in zip((2, 1, 0), self.origin, strict=True)
            ]
            out[k] = ndimage.map_coordinates(self.hu, index, order=1, mode="constant", cval=-1000.0)
        return out


def read_cormack_template(path: Path) -> Template:
    """A template in Cormack units, gzipped NIfTI whose axes run to the left, forwards and upwards.

    Raises ValueError where the file is none.
    """
    raw = gzip.decompress(path.read_bytes())
    shape, kind = np.frombuffer(raw, "<i2", 3, DIMENSIONS_AT), int(np.frombuffer(raw, "<i2", 1, TYPE_AT)[0])
    spacing = float(np.frombuffer(raw, "<f4", 1, SPACING_AT)[0])
    sform = np.frombuffer(raw, "<f4", 12, SFORM_AT).reshape(3, 4)
    signs = np.sign(np.diag(sform))
    if kind not in VOXEL_TYPES or not np.array_equal(signs, [-1, 1, 1]):
        raise ValueError(f"{path}: it is no template with axes to the left, forwards and upwards (RAS -x, y, z)")
    values = np.frombuffer(raw, VOXEL_TYPES[kind], int(np.prod(shape)), HEADER_BYTES).reshape(shape[::-1])
    scaled = values[:, ::-1] * (float(np.frombuffer(raw, "<f4", 1, SLOPE_AT)[0]) or 1.0)
    hu = np.interp(scaled, CORMACK, CORMACK_HU).astype(np.float32)
    x, y, z = sform[:, 3] / spacing * [1, -1, -1]  # index of the template's origin before the flip
    left, back, up = (offset / spacing for offset in WILLIS_IN_TEMPLATE_MM)
    return Template(hu, (float(z + up), float(shape[1] - 1 - y + back), float(x + left)), spacing)
