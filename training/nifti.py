"""NIfTI files with numpy alone, for machines that have no SimpleITK: images and labels of cases."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glianet.errors import ReaderError
from glianet.nifti_header import VOXEL_TYPES, check_nifti

HEADER = np.dtype(
    {
        "names": (
            "dim", "datatype", "pixdim", "vox_offset", "slope", "inter", "qform", "sform", "quatern", "offset", "srow",
        ),
        "formats": (
            ("<i2", 8), "<i2", ("<f4", 8), "<f4", "<f4", "<f4", "<i2", "<i2", ("<f4", 3), ("<f4", 3), ("<f4", (3, 4)),
        ),
        "offsets": (40, 70, 76, 108, 112, 116, 252, 254, 256, 268, 280),
        "itemsize": 348,
    }
)  # fmt: skip
"""The fields of struct nifti_1_header (nifti1.h) that are read here."""

DATA_OFFSET, SCANNER_COORDINATES, MILLIMETRES, GZIP_LEVEL = 352, 1, 2, 1
"""Of files that are written here: NIFTI_XFORM_SCANNER_ANAT, NIFTI_UNITS_MM."""

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])
"""NIfTI's patient axes point to the right, the front and the head; DICOM's to the left, the back and the head."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Values (D, H, W) in canonical order: slice foot to head, row front to back, column right to left.

    affine: (4, 4), index (k, j, i, 1) to LPS mm. An oblique image keeps its own axes, in the order and direction that
    come closest.
    """

    values: NDArray[np.generic]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along (D, H, W)."""
        return spacing_of(self.affine)


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Voxel spacing in mm along (D, H, W) of an affine (4, 4), index (k, j, i, 1) to LPS mm."""
    depth, height, width = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return depth, height, width


def read_grid(path: Path) -> Grid:
    """The image of a .nii or .nii.gz file, scaled as the file says; of the file's type where it is not scaled.

    Raises ReaderError or VolumeError where the file is not whole and sound, or is no three-dimensional image.
    """
    if not path.is_file():
        raise ReaderError(what="there is no such file", where=str(path))
    check_nifti(path)
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    order: Literal["<", ">"] = "<" if int.from_bytes(content[:4], "little") == HEADER.itemsize else ">"
    header = np.frombuffer(content, HEADER.newbyteorder(order), 1)[0]
    sizes = [int(size) for size in header["dim"][1 : int(header["dim"][0]) + 1]]
    if len(sizes) < 3 or any(size != 1 for size in sizes[3:]):
        raise ReaderError(what=f"it has the dimensions {sizes}, not three", where=str(path))
    kind = np.dtype(VOXEL_TYPES[int(header["datatype"])]).newbyteorder(order)
    stored = np.frombuffer(content, kind, int(np.prod(sizes[:3])), int(header["vox_offset"]))
    values = _scaled(stored.reshape(sizes[2::-1]), float(header["slope"]), float(header["inter"]))
    return _canonical(values, _affine(header))


def write_grid(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    """Writes an array (D, H, W) of int16, uint8, uint16 or float32 as .nii or, gzipped, .nii.gz; always the same bytes.

    affine: index (k, j, i, 1) to LPS mm; kept as the sform. Raises OSError, KeyError for another type.
    """
    header = np.zeros((), HEADER.newbyteorder("<"))
    depth, height, width = values.shape
    header["dim"] = (3, width, height, depth, 1, 1, 1, 1)
    header["datatype"] = {kind: code for code, kind in VOXEL_TYPES.items()}[values.dtype.str[1:]]
    header["pixdim"] = (1, *np.linalg.norm(affine[:3, :3], axis=0)[::-1], 1, 1, 1, 1)
    header["vox_offset"], header["slope"], header["sform"] = DATA_OFFSET, 1, SCANNER_COORDINATES
    header["srow"] = LPS_FROM_RAS[:, None] * affine[:3, [2, 1, 0, 3]]
    content = bytearray(header.tobytes().ljust(DATA_OFFSET, b"\0"))
    content[:4] = HEADER.itemsize.to_bytes(4, "little")
    content[72:74] = (8 * values.dtype.itemsize).to_bytes(2, "little")  # bitpix
    content[123] = MILLIMETRES
    content[344:348] = b"n+1\0"
    whole = bytes(content) + np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    path.write_bytes(gzip.compress(whole, GZIP_LEVEL, mtime=0) if path.suffix == ".gz" else whole)


def _scaled(stored: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    if slope in (0, 1) and intercept == 0:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return (stored.astype(np.float32) * np.float32(slope or 1) + np.float32(intercept)).astype(np.float32)


def _affine(header: np.void) -> NDArray[np.float64]:
    """(4, 4): index (i, j, k, 1) to RAS mm, by sform, else qform, else voxel sizes (nifti1.h, methods 3, 2 and 1)."""
    affine = np.eye(4)
    sizes = np.abs(header["pixdim"][1:4].astype(float))
    if header["sform"] > 0:
        affine[:3] = header["srow"]
    elif header["qform"] > 0:
        handed = -1.0 if header["pixdim"][0] < 0 else 1.0
        affine[:3, :3] = _rotation(*header["quatern"].astype(float)) * (sizes * [1, 1, handed])
        affine[:3, 3] = header["offset"]
    else:
        affine[:3, :3] = np.diag(sizes)
    return affine


def _rotation(b: float, c: float, d: float) -> NDArray[np.float64]:
    """Of the unit quaternion whose real part is what the other three leave (nifti1.h, quatern_b)."""
    a = np.sqrt(max(1 - b * b - c * c - d * d, 0))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _canonical(values: NDArray[np.generic], ras: NDArray[np.float64]) -> Grid:
    """values (K, J, I) with index (i, j, k, 1) to RAS mm."""
    affine = np.eye(4)
    affine[:3, :3] = (LPS_FROM_RAS[:, None] * ras[:3, :3])[:, ::-1]  # columns in the order of the array's axes
    affine[:3, 3] = LPS_FROM_RAS * ras[:3, 3]
    order = _nearest_axes(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    values, affine = values.transpose(order), affine[:, [*order, 3]]
    for axis, line in enumerate((2, 1, 0)):
        if affine[line, axis] < 0:
            values = np.flip(values, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] = -affine[:3, axis]
    return Grid(values, affine)


def _nearest_axes(directions: NDArray[np.float64]) -> list[int]:
    """Which axis of the array runs most along the head, which along the back, which along the left."""
    left: list[int] = [0, 1, 2]
    order = []
    for line in (2, 1, 0):
        axis = max(left, key=lambda axis: abs(directions[line, axis]))
        left.remove(axis)
        order.append(axis)
    return order
