"""The bytes of a NIfTI-1 file, checked before a library reads them that repairs without a word."""

import gzip
import math
import sys
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from glianet.errors import ReaderError, VolumeError

HEADER = np.dtype(
    {
        "names": ("sizeof_hdr", "dim", "datatype", "pixdim", "vox_offset", "scl_slope", "scl_inter", "magic"),
        "formats": ("<i4", ("<i2", 8), "<i2", ("<f4", 8), "<f4", "<f4", "<f4", "S4"),
        "offsets": (0, 40, 70, 76, 108, 112, 116, 344),
        "itemsize": 348,
    }
)
"""The fields of struct nifti_1_header (nifti1.h of the NIfTI-1.1 standard) that are checked, little-endian."""

NIFTI_2_BYTES = 540
"""sizeof_hdr of NIfTI-2 (nifti2.h)."""

SMALLEST_OFFSET = 352
"""The header and the four bytes after it (nifti1.h, "NIFTI-1 FILE STORAGE"): a voxel cannot come before."""

VOXEL_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
"""NIfTI data type of one real number -> that of numpy (nifti1.h, NIFTI_TYPE_*)."""

PAIR_ENDINGS = (".hdr", ".img", ".hdr.gz", ".img.gz")
"""Of an image in two files, NIfTI or ANALYZE."""

SMALLEST_SLOPE = 2.0**-52
"""SimpleITK scales by 1 where scl_slope is smaller (the epsilon of its float64)."""

CHUNK_BYTES = 2**20
"""Read at a time: a multiple of the size of every voxel type."""

ANEW = "Copy or export the image again"


@dataclass(frozen=True)
class _Voxels:
    """Where and how a file says that its voxels are stored."""

    offset: int
    type: np.dtype[np.generic]
    count: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.count * self.type.itemsize


def check_nifti(path: Path) -> None:
    """Reads the file from end to end, in little memory; does nothing when its name is not that of a NIfTI file.

    For the library that SimpleITK reads NIfTI with takes 0 for a voxel that is not a finite number or that a file cut
    short lacks, 1 mm for a voxel size of 0, and no scaling for a factor that is not finite. Raises ReaderError when
    the file is not whole and sound as `.nii` or `.nii.gz`, VolumeError when voxels are not finite numbers.
    """
    if path.name.lower().endswith(PAIR_ENDINGS):
        raise _unreadable(
            path, "it is one of a pair of files", "Convert the two to one NIfTI file (.nii, .nii.gz)"
        )
    if not is_nifti(path):
        return
    try:
        with _open(path) as file:
            voxels = _voxels(_header(file, path), path)
            file.seek(voxels.offset)
            present, not_finite = _scan(file, voxels)
    except (OSError, EOFError, zlib.error) as problem:
        raise _unreadable(path, str(problem), ANEW) from problem
    if present < voxels.size:
        raise _unreadable(path, f"it holds {present} of the {voxels.size} bytes of its voxels", ANEW)
    if not_finite:
        raise VolumeError(
            what=f"{not_finite} of its {voxels.count} voxels are not finite numbers",
            where=str(path),
            advice="Fill or crop them, and write the image again",
        )


def is_nifti(path: Path) -> bool:
    """Whether the file has the name of a NIfTI image in one file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b" and path.suffix.lower() == ".gz"
    return gzip.open(path) if zipped else path.open("rb")


def _header(file: gzip.GzipFile | BufferedReader, path: Path) -> np.void:
    """The fields of HEADER, in the file's own byte order."""
    content = file.read(HEADER.itemsize)
    size = int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")
    if NIFTI_2_BYTES in size:
        raise _unreadable(path, "it is NIfTI-2", "Convert it to NIfTI-1")
    if len(content) < HEADER.itemsize or HEADER.itemsize not in size:
        raise _unreadable(path, "its header is not that of a NIfTI file", ANEW)
    layout = HEADER if size[0] == HEADER.itemsize else HEADER.newbyteorder()
    header: np.void = np.frombuffer(content, layout)[0]
    return header


def _voxels(header: np.void, path: Path) -> _Voxels:
    offset, datatype = float(header["vox_offset"]), int(header["datatype"])
    dimensions = int(header["dim"][0])
    shape = [int(size) for size in header["dim"][1 : dimensions + 1]]
    sizes_mm = [float(size) for size in header["pixdim"][1 : min(dimensions, 3) + 1]]
    if header["magic"] != b"n+1":
        raise _unreadable(path, f"its magic is {header['magic']!r} instead of b'n+1'", ANEW)
    if not 1 <= dimensions <= 7 or min(shape) < 1:
        raise _unreadable(path, f"its dimensions are {header['dim'].tolist()}", ANEW)
    if datatype not in VOXEL_TYPES:
        raise _unreadable(path, f"its data type {datatype} is not one real number for each voxel", ANEW)
    if not SMALLEST_OFFSET <= offset <= sys.maxsize:
        raise _unreadable(path, f"its voxels cannot begin at byte {offset:g}", ANEW)
    if not all(math.isfinite(size) and size for size in sizes_mm):
        raise _unreadable(
            path, f"its voxels have the size {sizes_mm} mm", "Write the image again with its spacing"
        )
    _check_scaling(float(header["scl_slope"]), float(header["scl_inter"]), path)
    voxel_type = np.dtype(VOXEL_TYPES[datatype]).newbyteorder(header["dim"].dtype.byteorder)
    return _Voxels(int(offset), voxel_type, math.prod(shape))


def _check_scaling(slope: float, intercept: float, path: Path) -> None:
    """A slope of 0 means no scaling (nifti1.h, "DATA SCALING"), yet SimpleITK would add the intercept."""
    if slope == intercept == 0:
        return
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        what = "so that none of its voxels is a finite number"
    elif abs(slope) < SMALLEST_SLOPE:
        what = "which programs take differently"
    else:
        return
    raise VolumeError(
        what=f"its scl_slope is {slope:g} and its scl_inter {intercept:g}, {what}",
        where=str(path),
        advice="Write the image again, unscaled with 1 and 0",
    )


def _scan(file: gzip.GzipFile | BufferedReader, voxels: _Voxels) -> tuple[int, int]:
    """Bytes of the voxels that are there, and how many voxels are not finite; reads on to the checksum of gzip."""
    present = not_finite = 0
    while chunk := file.read(min(CHUNK_BYTES, voxels.size - present)):
        present += len(chunk)
        if voxels.type.kind == "f":
            values = np.frombuffer(chunk, voxels.type, len(chunk) // voxels.type.itemsize)
            not_finite += values.size - int(np.count_nonzero(np.isfinite(values)))
    while file.read(CHUNK_BYTES):
        pass
    return present, not_finite


def _unreadable(path: Path, why: str, advice: str) -> ReaderError:
    return ReaderError(what=f"it cannot be read as an image ({why})", where=str(path), advice=advice)
