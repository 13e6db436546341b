"""NIfTI files (and whatever else SimpleITK reads) to volumes, and arrays on a volume's grid to NIfTI."""

from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from glianet.errors import ReaderError, VolumeError
from glianet.volume import Volume

CANONICAL = "LPS"
"""Orientation of a volume's columns, rows and slices: towards the left, the back and the head."""

LARGEST_SKEW = 1e-4
"""Largest cosine between two axes that NIfTI can still hold, as rounding leaves it."""


def read_nifti(path: Path) -> Volume:
    """The image as a Volume, its axes flipped and exchanged to the canonical order, never resampled.

    Values are taken as HU and rounded to whole ones. Raises ReaderError when the file cannot be read as one
    three-dimensional grey image, VolumeError when its values are not HU of int16. (Values of a NIfTI file that are
    not finite are 0 before they get here: the NIfTI library that SimpleITK uses makes them so.)
    """
    image = SimpleITK.DICOMOrient(_read_image(path), CANONICAL)
    return Volume(_to_hu(SimpleITK.GetArrayViewFromImage(image), path), _affine(image))


def read_orientation(path: Path) -> str:
    """Orientation in which the file stores its image, such as "LPS" or "RAS". Raises ReaderError."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as problem:
        raise _unreadable(path, _last_line(problem)) from problem
    return SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(reader.GetDirection()[:9])


def write_nifti(
    path: Path, array: NDArray[np.generic], affine: NDArray[np.float64], orientation: str = CANONICAL
) -> None:
    """Writes an array (D, H, W) on the grid of `affine` (index (k, j, i, 1) to LPS mm).

    orientation: in which the file is to store it; `read_orientation` gives that of an image to lie upon.
    Raises VolumeError when the grid is skewed, which NIfTI cannot say, OSError when the file cannot be written.
    """
    image = SimpleITK.GetImageFromArray(array)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if not np.allclose(directions.T @ directions, np.eye(3), atol=LARGEST_SKEW):
        raise VolumeError(what="the axes of the grid are not at right angles", where=str(path))
    image.SetSpacing(spacing[::-1].tolist())
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    try:
        SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path), useCompression=True)
    except RuntimeError as problem:
        raise OSError(f"{path}: {_last_line(problem)}") from problem


def _read_image(path: Path) -> SimpleITK.Image:
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as problem:
        raise _unreadable(path, _last_line(problem)) from problem
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise _unreadable(path, "it is not one three-dimensional image with one value for each voxel")
    return image


def _to_hu(values: NDArray[np.generic], path: Path) -> NDArray[np.int16]:
    if np.issubdtype(values.dtype, np.complexfloating) or not np.isfinite(values).all():
        raise VolumeError(what="it holds values that are not finite numbers", where=str(path))
    limits = np.iinfo(np.int16)
    if values.min() < limits.min or values.max() > limits.max:
        raise VolumeError(
            what=f"its values from {values.min()} to {values.max()} are not HU",
            where=str(path),
            advice="Convert the image to Hounsfield units",
        )
    rounded = values if np.issubdtype(values.dtype, np.integer) else np.rint(values)
    return rounded.astype(np.int16)


def _affine(image: SimpleITK.Image) -> NDArray[np.float64]:
    affine = np.eye(4)
    columns = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, :3] = columns[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return affine


def _unreadable(path: Path, why: str) -> ReaderError:
    return ReaderError(
        what=f"it cannot be read as an image ({why})",
        where=str(path),
        advice="Give a NIfTI file (.nii, .nii.gz) or a folder with one DICOM series",
    )


def _last_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[-1].strip()
