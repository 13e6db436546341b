"""From the files of a CT series to a trustworthy volume, or a coded refusal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from pydicom import Dataset

from dicom_node.consistency import check_consistency
from dicom_node.dicom_file import read_file
from dicom_node.eligibility import check_frames, check_planes_eligible
from dicom_node.errors import NodeError
from dicom_node.frames import (
    MULTI_FRAME_CLASSES,
    SINGLE_FRAME_CLASSES,
    list_frames,
    read_uid,
    read_value,
)
from dicom_node.geometry import GridGeometry, build_geometry
from dicom_node.pixels import iterate_hounsfield
from dicom_node.planes import find_plane
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import AssemblySettings, SelectionSettings
from glianet.volume import Volume

ANY_CT = SelectionSettings(
    minimum_slices=2,
    maximum_slices=10_000,
    maximum_slice_spacing_mm=10.0,
    maximum_axial_angle_degrees=45.0,
    refused_image_types=("LOCALIZER",),
)  # for `read_folder`: whoever names a folder has chosen the series


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series that can be analysed.

    datasets: the headers in the order of geometry.planes (foot to head), or the single one of a multi-frame
    instance. paths: their files, in the same order. geometry: the canonical grid.
    """

    datasets: tuple[Dataset, ...]
    paths: tuple[Path, ...]
    geometry: GridGeometry


def inspect_series(
    datasets: Sequence[Dataset],
    selection: SelectionSettings,
    assembly: AssemblySettings,
    conflicting: bool,
) -> SourceSeries:
    """Check the headers of one series, in any order, and find its grid.

    datasets: as `dicom_file.read_headers` gives them. conflicting: whether an instance was received with two contents.

    Raises:
        NotAnalysable: the first rule, of eligibility or geometry, that the series fails.
    """
    _check_instances(datasets, conflicting)
    frames = [frame for dataset in datasets for frame in list_frames(dataset)]
    check_frames(frames, selection)
    if len(datasets) > 1 and len(frames) > len(datasets):
        raise NotAnalysable(Reason.SEVERAL_MULTI_FRAMES, f"{len(frames)} frames in {len(datasets)} instances")
    planes = [find_plane(frame) for frame in frames]
    check_planes_eligible(planes, selection)
    check_consistency(frames, planes, assembly)
    geometry = build_geometry(planes, assembly)
    by_uid = {read_uid(dataset, "SOPInstanceUID"): dataset for dataset in datasets}
    ordered = tuple(by_uid[uid] for uid in dict.fromkeys(plane.sop_instance_uid for plane in geometry.planes))
    return SourceSeries(ordered, tuple(Path(dataset.filename) for dataset in ordered), geometry)


def read_volume(source: SourceSeries) -> Volume:
    """Decode the pixels: (D, H, W) int16 HU in canonical order, with the affine of `source.geometry`.

    Values are rounded to whole HU; padding becomes air (see `pixels`). Beside the volume one slice is in
    memory, or the whole instance where it is a multi-frame one.

    Raises:
        NotAnalysable: pixels are damaged, or their values cannot be HU.
    """
    geometry = source.geometry
    hu = np.empty(geometry.shape, np.int16)
    places = {(plane.sop_instance_uid, plane.frame_number): k for k, plane in enumerate(geometry.planes)}
    for path, dataset in zip(source.paths, source.datasets, strict=True):
        frames = list_frames(dataset)
        for frame, stored in zip(frames, iterate_hounsfield(path, frames), strict=True):
            k = places[read_uid(dataset, "SOPInstanceUID"), frame.number]
            hu[k] = geometry.from_stored(stored)
    return Volume(hu=hu, affine=geometry.affine)


def read_folder(path: Path) -> Volume:
    """The one CT series in a folder and its subfolders, as a volume; other files are passed over.

    Thin or thick, with or without contrast: only what a trustworthy volume needs is checked.

    Raises:
        NotAnalysable: there is no CT series, or it cannot be trusted.
        NodeError: there is more than one CT series; the message names them.
    """
    headers = [read_file(one, with_pixels=False) for one in _dicom_files(path)]
    series: dict[str, list[Dataset]] = {}
    for header in headers:
        if read_value(header, "SOPClassUID") in SINGLE_FRAME_CLASSES + MULTI_FRAME_CLASSES:
            series.setdefault(read_uid(header, "SeriesInstanceUID"), []).append(header)
    if len(series) != 1:
        raise _not_one_series(path, len(headers), series)
    datasets = _drop_copies(next(iter(series.values())))
    return read_volume(inspect_series(datasets, ANY_CT, AssemblySettings(), conflicting=False))


def _check_instances(datasets: Sequence[Dataset], conflicting: bool) -> None:
    if not datasets:
        raise NotAnalysable(Reason.TOO_FEW_SLICES, "no image")
    counts = Counter(read_uid(dataset, "SOPInstanceUID") for dataset in datasets)
    repeated = [uid for uid, count in counts.items() if count > 1]
    if conflicting or repeated:
        detail = (
            f"{len(repeated)} instances came several times"
            if repeated
            else "an instance came with two contents"
        )
        raise NotAnalysable(Reason.CONFLICTING_INSTANCES, detail)


def _dicom_files(folder: Path) -> Iterator[Path]:
    """Files that start as PS3.10 section 7.1 says, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(132)[128:] == b"DICM":
                    yield path


def _not_one_series(path: Path, files: int, series: dict[str, list[Dataset]]) -> NodeError:
    if not series:
        return NodeError(
            f"no CT images among {files} DICOM files",
            where=str(path),
            advice="name the folder of a CT series",
        )
    named = "; ".join(
        f"{uid} ({len(datasets)} images, {str(read_value(datasets[0], 'SeriesDescription') or 'no description')!r}, "
        f"in {Path(datasets[0].filename).parent})"
        for uid, datasets in series.items()
    )
    return NodeError(
        f"{len(series)} CT series instead of one: {named}",
        where=str(path),
        advice="name a folder with one of them",
    )


def _drop_copies(datasets: Sequence[Dataset]) -> list[Dataset]:
    """One of each instance whose files are equal byte by byte; unequal ones stay, to be refused."""
    unique = {
        (read_uid(dataset, "SOPInstanceUID"), sha256(Path(dataset.filename).read_bytes()).digest()): dataset
        for dataset in datasets
    }
    return list(unique.values())
