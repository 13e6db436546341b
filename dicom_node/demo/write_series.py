"""Synthetic CT series as files: for the demo, and for tests of everything that reads a series."""

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from dicom_node.demo.multi_frame import build_multi_frame
from dicom_node.demo.series_header import SeriesHeader, build_common_header
from dicom_node.identifiers import derive_uid
from dicom_node.transfer_syntaxes import UNCOMPRESSED

IMPLEMENTATION_CLASS_UID = UID(derive_uid("glia-node", "demo", "implementation"))
# Which canonical axes (rows to the back, columns to the left) the stored images run against; a scanner
# stores what the viewer shows, with the patient as he lies.
FLIPS: dict[str, tuple[bool, bool]] = {  # PatientPosition: rows, columns
    "HFS": (False, False),
    "HFP": (True, True),
    "FFS": (False, True),
    "FFP": (True, False),
}


@dataclass(frozen=True)
class Storage:
    """How the pixels are stored.

    form: single-frame CT Image, Enhanced CT or Legacy Converted Enhanced CT. transfer_syntax_uid:
    uncompressed, RLE, JPEG-LS or JPEG 2000 lossless. slope, intercept: stored value * slope + intercept = HU.
    padding: stored value that is declared as padding, or None. names: shuffles file names and instance
    numbers.
    """

    form: Literal["single-frame", "enhanced", "legacy"] = "single-frame"
    transfer_syntax_uid: str = ExplicitVRLittleEndian
    patient_position: Literal["HFS", "HFP", "FFS", "FFP"] = "HFS"
    signed: bool = True
    bits_stored: int = 16
    slope: float = 1.0
    intercept: float = -1024.0
    padding: int | None = None
    names: random.Random | None = None


def write_series(
    folder: Path,
    hu: npt.NDArray[np.int16],
    affine: npt.NDArray[np.float64],
    *,
    seed: str,
    acquired: datetime,
    header: SeriesHeader | None = None,
    storage: Storage | None = None,
) -> tuple[Path, ...]:
    """Write a CT series into `folder`; its files, foot to head (one file where it is multi-frame).

    hu: (D, H, W) int16 HU in canonical order (k to the head, j to the back, i to the left). affine: (4, 4),
    index (k, j, i, 1) to LPS mm; its axes may be oblique, and its first one sheared as by a gantry tilt.
    seed: all UIDs derive from it. acquired: aware. The same arguments give the same bytes.
    """
    header, storage = header or SeriesHeader(), storage or Storage()
    common = build_common_header(header, seed, acquired, storage.patient_position)
    _add_pixel_format(common, storage)
    slices = list(_build_slices(hu, affine, common, header, storage, seed))
    datasets = slices if storage.form == "single-frame" else [build_multi_frame(slices, storage.form, seed)]
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{dataset.InstanceNumber:06d}.dcm" for dataset in datasets)
    for path, dataset in zip(paths, datasets, strict=True):
        _write(path, dataset, storage.transfer_syntax_uid)
    return paths


def _add_pixel_format(dataset: Dataset, storage: Storage) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = storage.bits_stored
    dataset.HighBit = storage.bits_stored - 1
    dataset.PixelRepresentation = int(storage.signed)
    dataset.RescaleIntercept = _as_ds(storage.intercept)
    dataset.RescaleSlope = _as_ds(storage.slope)
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = 250, 700
    if storage.padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if storage.signed else "US", storage.padding)


def _build_slices(
    hu: npt.NDArray[np.int16],
    affine: npt.NDArray[np.float64],
    common: Dataset,
    header: SeriesHeader,
    storage: Storage,
    seed: str,
) -> Iterator[Dataset]:
    numbers = list(range(1, len(hu) + 1))
    if storage.names is not None:
        storage.names.shuffle(numbers)
    plane = _shared_plane(hu.shape, affine, storage.patient_position)
    for k, number in enumerate(numbers):
        dataset = deepcopy(common)
        dataset.update(plane)
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = derive_uid(seed, "instance", str(k))
        dataset.ImageType = list(header.image_type)
        dataset.InstanceNumber = number
        position = _first_voxel(hu.shape, affine, storage.patient_position) + k * affine[:3, 0]
        dataset.ImagePositionPatient = [_as_ds(value) for value in position]
        dataset.SliceLocation = _as_ds(position[2])
        dataset.PixelData = _as_stored(hu[k], storage).tobytes()
        yield dataset


def _shared_plane(shape: tuple[int, ...], affine: npt.NDArray[np.float64], patient_position: str) -> Dataset:
    flip_rows, flip_columns = FLIPS[patient_position]
    between_slices, between_rows, between_columns = np.linalg.norm(affine[:3, :3], axis=0)
    row_direction = affine[:3, 2] / between_columns * (-1 if flip_columns else 1)
    column_direction = affine[:3, 1] / between_rows * (-1 if flip_rows else 1)
    plane = Dataset()
    plane.Rows, plane.Columns = shape[1:]
    plane.PixelSpacing = [_as_ds(between_rows), _as_ds(between_columns)]
    plane.SliceThickness = _as_ds(between_slices)
    plane.ImageOrientationPatient = [_as_ds(value) for value in (*row_direction, *column_direction)]
    return plane


def _first_voxel(
    shape: tuple[int, ...], affine: npt.NDArray[np.float64], patient_position: str
) -> npt.NDArray[np.float64]:
    """LPS mm of the first stored voxel of slice 0."""
    flip_rows, flip_columns = FLIPS[patient_position]
    index = np.array([0, (shape[1] - 1) * flip_rows, (shape[2] - 1) * flip_columns, 1])
    position: npt.NDArray[np.float64] = affine[:3] @ index
    return position


def _as_stored(hu: npt.NDArray[np.int16], storage: Storage) -> npt.NDArray[Any]:
    """(rows, columns) stored values: (HU - intercept) / slope, rounded, in stored order."""
    flip_rows, flip_columns = FLIPS[storage.patient_position]
    values = np.rint((hu.astype(np.float64) - storage.intercept) / storage.slope)
    low = -(1 << (storage.bits_stored - 1)) if storage.signed else 0
    if values.min() < low or values.max() >= low + (1 << storage.bits_stored):
        raise ValueError(f"HU {hu.min()} to {hu.max()} do not fit into {storage.bits_stored} stored bits")
    mask = (1 << storage.bits_stored) - 1
    stored = (values.astype(np.int32) & mask).astype("<u2")
    return stored[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _write(path: Path, dataset: Dataset, transfer_syntax_uid: str) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset["PixelData"].VR = "OW"
    if transfer_syntax_uid in UNCOMPRESSED:
        dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    else:
        dataset.compress(transfer_syntax_uid, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)


def _as_ds(value: float) -> str:
    return format_number_as_ds(float(value))
