"""Small CT series with random voxels, written by `write_series` and read back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicom_node.demo.series_header import SeriesHeader
from dicom_node.demo.write_series import Storage, write_series
from dicom_node.dicom_file import read_headers
from dicom_node.read_series import SourceSeries, inspect_series
from dicom_node.settings import AssemblySettings, SelectionSettings

ACQUIRED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
FEW_SLICES = SelectionSettings(minimum_slices=2)
ASSEMBLY = AssemblySettings()


def random_hu(shape: tuple[int, int, int] = (5, 6, 7), seed: int = 1) -> NDArray[np.int16]:
    """(D, H, W) int16, -1024 to 2000 HU: no two voxels of a small volume are likely to be equal."""
    return np.random.default_rng(seed).integers(-1024, 2000, shape, dtype=np.int16)


def axial(
    spacing: tuple[float, float, float] = (0.6, 0.5, 0.4), origin: tuple[float, float, float] = (-10, -20, 30)
) -> NDArray[np.float64]:
    """(4, 4) index (k, j, i, 1) to LPS mm, k to the head, j to the back, i to the left; spacing in that order."""
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, spacing[2]], [0, spacing[1], 0], [spacing[0], 0, 0]]
    affine[:3, 3] = origin
    return affine


def turned(affine: NDArray[np.float64], axis: str, degrees: float) -> NDArray[np.float64]:
    """The grid turned about the patient's x (left), y (back) or z (head) axis through the origin."""
    a, b = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    angle = np.radians(degrees)
    rotation = np.eye(4)
    rotation[a, a] = rotation[b, b] = np.cos(angle)
    rotation[a, b], rotation[b, a] = -np.sin(angle), np.sin(angle)
    return rotation @ affine


def sheared(affine: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Slices shifted against each other as by a gantry tilt: towards the back as they go to the head."""
    tilted = affine.copy()
    tilted[:3, 0] += np.tan(np.radians(degrees)) * np.linalg.norm(affine[:3, 0]) * np.array([0, 1, 0])
    return tilted


def write(
    folder: Path,
    hu: NDArray[np.int16] | None = None,
    affine: NDArray[np.float64] | None = None,
    header: SeriesHeader | None = None,
    **storage: Any,
) -> tuple[Path, ...]:
    """Write `hu` (random where not given) on `affine`; the files, foot to head."""
    return write_series(
        folder,
        random_hu() if hu is None else hu,
        axial() if affine is None else affine,
        seed="test",
        acquired=ACQUIRED,
        header=header,
        storage=Storage(**storage),
    )


def change(path: Path, **attributes: Any) -> None:
    """Set attributes of a file by keyword; None removes one."""
    dataset = dcmread(path)
    change_header(dataset, **attributes)
    dataset.save_as(path, enforce_file_format=True)


def change_header(dataset: Dataset, **attributes: Any) -> None:
    """Set attributes by keyword; None removes one."""
    for keyword, value in attributes.items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)


def inspect(
    paths: Sequence[Path], selection: SelectionSettings = FEW_SLICES, assembly: AssemblySettings = ASSEMBLY
) -> SourceSeries:
    """Read and inspect a series that came without conflicts."""
    return inspect_series(read_headers(paths), selection, assembly, conflicting=False)
