"""NIfTI files (and whatever else SimpleITK reads) to volumes, and arrays on a volume's grid to NIfTI."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from glianet.errors import ReaderError, VolumeError
from glianet.nifti_header import check_nifti, is_nifti
from glianet.volume import Volume

CANONICAL = "LPS"
"""Orientation of a volume's columns, rows and slices: towards the left, the back and the head."""

LINES = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
"""Letter of an orientation -> the line of the patient along which it points."""

LARGEST_SKEW = 1e-4
"""Largest cosine between two axes that NIfTI can still hold, as rounding leaves it."""


def read_nifti(path: Path) -> Volume:
    """The image as a Volume, its axes flipped and exchanged to the canonical order, never resampled.

    Values are taken as HU and rounded to whole ones. Raises ReaderError when the file cannot be read as one
    three-dimensional grey image, VolumeError when its values are not HU of int16. Takes memory for twice the voxels
    as SimpleITK holds them: float32 where the file is scaled, else of the file's type.
    """
    check_nifti(path)
    image = _read_image(path)
    stored = SimpleITK.GetArrayViewFromImage(image)
    _check_hu(stored, path)
    values, affine = _reorient(stored, _affine(image), CANONICAL)
    return Volume(_to_hu(values), affine)


def read_orientation(path: Path) -> str:
    """Orientation in which the file stores its image, such as "LPS" or "RAS". Raises ReaderError."""
    reader = SimpleITK.ImageFileReader()
    with _alone(path) as file:
        reader.SetFileName(str(file))
        try:
            reader.ReadImageInformation()
        except RuntimeError as problem:
            raise _unreadable(path, _last_line(problem)) from problem
    return _orientation(reader.GetDirection()[:9])


def write_nifti(
    path: Path, array: NDArray[np.generic], affine: NDArray[np.float64], orientation: str = CANONICAL
) -> None:
    """Writes an array (D, H, W) on the grid of `affine` (index (k, j, i, 1) to LPS mm).

    orientation: in which the file is to store it; `read_orientation` gives that of an image to lie upon.
    Raises VolumeError when the grid is skewed, which NIfTI cannot say, OSError when the file cannot be written.
    """
    directions = _directions(affine)
    if not np.allclose(directions.T @ directions, np.eye(3), atol=LARGEST_SKEW):
        raise VolumeError(what="the axes of the grid are not at right angles", where=str(path))
    image = _to_image(*_reorient(array, affine, orientation))
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as problem:
        raise OSError(f"{path}: {_last_line(problem)}") from problem


def _read_image(path: Path) -> SimpleITK.Image:
    with _alone(path) as file:
        try:
            image = SimpleITK.ReadImage(str(file))
        except RuntimeError as problem:
            raise _unreadable(path, _last_line(problem)) from problem
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise _unreadable(path, "it is not one three-dimensional image with one value for each voxel")
    return image


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """A zipped NIfTI file under a name in lower case, in a folder of its own.

    For the NIfTI library takes the header of a.nii.gz and the voxels of a.nii where both lie in one folder, and refuses
    names like a.Nii.gz.
    """
    if not is_nifti(path) or path.name.endswith(".nii"):
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / ("image.nii.gz" if path.suffix.lower() == ".gz" else "image.nii")
        link.symlink_to(path.absolute())
        yield link


def _check_hu(values: NDArray[np.generic], path: Path) -> None:
    limits = np.iinfo(np.int16)
    if np.issubdtype(values.dtype, np.complexfloating):
        raise VolumeError(what="its values are complex numbers", where=str(path))
    lowest, highest = values.min(), values.max()  # NaN where one of the values is
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise VolumeError(what="it holds values that are not finite numbers", where=str(path))
    if lowest < limits.min or highest > limits.max:
        raise VolumeError(
            what=f"its values from {lowest} to {highest} are not HU",
            where=str(path),
            advice="Convert the image to Hounsfield units",
        )


def _reorient(
    array: NDArray[np.generic], affine: NDArray[np.float64], orientation: str
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The array (D, H, W) with its axes exchanged and flipped to run in `orientation`, a view; and its affine."""
    there, wanted = _orientation(_directions(affine)[:, ::-1].ravel())[::-1], orientation[::-1]
    order = [[LINES[letter] for letter in there].index(LINES[letter]) for letter in wanted]
    array, affine = array.transpose(order), affine[:, [*order, 3]]
    flipped = [axis for axis in range(3) if there[order[axis]] != wanted[axis]]
    for axis in flipped:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] = 0.0 - affine[:3, axis]
    return np.flip(array, tuple(flipped)), affine


def _to_hu(values: NDArray[np.generic]) -> NDArray[np.int16]:
    """Rounded slice by slice, which spares a copy of all."""
    hu = np.empty(values.shape, np.int16)
    for rounded, exact in zip(hu, values, strict=True):
        rounded[:] = exact if np.issubdtype(exact.dtype, np.integer) else np.rint(exact)
    return hu


def _to_image(array: NDArray[np.generic], affine: NDArray[np.float64]) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist())
    image.SetDirection(_directions(affine)[:, ::-1].ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def _affine(image: SimpleITK.Image) -> NDArray[np.float64]:
    affine = np.eye(4)
    columns = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, :3] = columns[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return affine


def _directions(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (3, 3) in the patient, LPS, a column for each axis of the array."""
    axes: NDArray[np.float64] = affine[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)


def _orientation(cosines: Iterable[float]) -> str:
    """Of the axes i, j, k, from the nine entries of a matrix that has them as columns, row by row."""
    name: str = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(list(cosines))
    return name


def _unreadable(path: Path, why: str) -> ReaderError:
    return ReaderError(
        what=f"it cannot be read as an image ({why})",
        where=str(path),
        advice="Give a NIfTI file (.nii, .nii.gz) or a folder with one DICOM series",
    )


def _last_line(problem: Exception) -> str:
    """Of several, the last that says more than what the system's last error was, which may be of something else."""
    lines = [line.strip() for line in str(problem).strip().splitlines()]
    return next((line for line in reversed(lines) if not line.startswith("Reason:")), lines[-1])
