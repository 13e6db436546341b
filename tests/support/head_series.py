"""Head CT series as a scanner would store them, and what the node's network finds in them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pynetdicom.association import Association

from dicom_node.association import associate
from dicom_node.demo.series_header import SeriesHeader
from dicom_node.demo.write_series import Storage, write_series
from dicom_node.send import RemoteNode
from dicom_node.store_file import store_file
from storage.database import Database
from storage.series import get_series, instance_paths
from tests.glianet.formulas import formula_volume
from tests.support.dicom_network import context_of, data_set_of

SLICES = 64
ONE_PATCH = (SLICES, 96, 96)  # the network's patch has 96 voxels an edge
TWO_PATCHES = (SLICES, 96, 112)
SPACING_MM = (1.25, 1.5, 1.5)  # a head of natural size in few voxels
ACQUIRED = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
SCANNER = "CT1"


@dataclass(frozen=True, eq=False)
class HeadSeries:
    """A series on disk. hu (D, H, W) int16 HU on canonical axes; affine (4, 4) index (k, j, i, 1) to LPS mm."""

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    files: tuple[Path, ...]

    @cached_property
    def study_uid(self) -> str:
        return str(dcmread(self.files[0], stop_before_pixels=True).StudyInstanceUID)

    @cached_property
    def uid(self) -> str:
        return str(dcmread(self.files[0], stop_before_pixels=True).SeriesInstanceUID)


def make_head_series(
    folder: Path,
    name: str,
    *,
    shape: tuple[int, int, int] = ONE_PATCH,
    volume_seed: int = 1,
    hu: NDArray[np.int16] | None = None,
    affine: NDArray[np.float64] | None = None,
    storage: Storage | None = None,
    study_uid: str = "",
    announced: int | None = None,
) -> HeadSeries:
    """Write a series below `folder`; `name` decides its UIDs, `volume_seed` or `hu` its voxels.

    announced: the number of instances that the headers tell, so that the series is complete with the last one,
    however slowly a loaded machine sends them; None: as many as there are, 0: nothing is told.
    """
    hu = formula_volume(shape, volume_seed) if hu is None else hu
    where = axial_affine(hu.shape) if affine is None else affine
    header = SeriesHeader(study_instance_uid=study_uid)
    files = write_series(
        folder / name, hu, where, seed=name, acquired=ACQUIRED, header=header, storage=storage
    )
    count = len(files) if announced is None else announced
    if count:
        for file in files:
            change(file, lambda image: setattr(image, "NumberOfSeriesRelatedInstances", count))
    return HeadSeries(hu, where, files)


def change(file: Path, how: Callable[[Dataset], None]) -> None:
    """Change the header or the pixels of an image on disk."""
    image = dcmread(file)
    how(image)
    image.save_as(file, enforce_file_format=True)


def axial_affine(shape: tuple[int, ...], rotation: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Index (k, j, i, 1) to LPS mm of a grid around the origin, turned by `rotation` (3, 3)."""
    columns = np.zeros((3, 3))
    columns[2, 0], columns[1, 1], columns[0, 2] = SPACING_MM
    affine = np.eye(4)
    affine[:3, :3] = columns if rotation is None else rotation @ columns
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


def rotation_about(axis: Sequence[float], degrees: float) -> NDArray[np.float64]:
    """(3, 3) rotation by the right-hand rule (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    turned: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turned


@contextmanager
def scanner(peer: RemoteNode, files: Sequence[Path]) -> Iterator[Association]:
    """An open association of a scanner that is about to send these files."""
    contexts = list(dict.fromkeys(context_of(file) for file in files))
    with associate(peer, SCANNER, contexts) as association:
        yield association


def store_some(
    association: Association, files: Sequence[Path], *, until: Callable[[], bool] | None = None
) -> list[Path]:
    """C-STORE the files, in order; those that were answered Success. Ends early where `until` says so."""
    stored = []
    for number, file in enumerate(files):
        if until is not None and until():
            break
        if store_file(association, file, number).status == 0:
            stored.append(file)
    return stored


def is_kept_whole(db: Database, spool: Path, series: HeadSeries) -> bool:
    """Whether the spool holds every instance of the series with its bytes, and nothing else of it."""
    rows = instance_paths(db, get_series(db, series.uid).id)
    return sorted(data_set_of(spool / row.path) for row in rows) == sorted(map(data_set_of, series.files))


def send(peer: RemoteNode, files: Sequence[Path]) -> None:
    """Send the files over one association; every one is answered Success."""
    with scanner(peer, files) as association:
        stored = store_some(association, files)
    assert len(stored) == len(files), f"{len(stored)} of {len(files)} were stored"
