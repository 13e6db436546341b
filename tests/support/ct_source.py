"""Small CT series, classic and multi-frame, in any orientation, for tests of what is made from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

ROOT = "1.2.826.0.1.3680043.8.498.77"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
OBLIQUE = (0.9816271834476640, 0.0, 0.1908089953765448, 0.0, 1.0, 0.0)  # 11 degrees about the y axis
TURNED = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)  # patient on the side: rows run along y
FEET_FIRST = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # rows run to the front: slices come from head to foot


@dataclass(frozen=True)
class CtSource:
    """How a series shall look. slices, rows, columns; spacing (slices, rows, columns) mm; orientation as in
    ImageOrientationPatient; origin of the first slice, LPS mm; attributes to set, or with None to remove."""

    slices: int = 20
    rows: int = 40
    columns: int = 48
    spacing: tuple[float, float, float] = (0.6, 0.5, 0.5)
    orientation: Sequence[float] = AXIAL
    origin: tuple[float, float, float] = (-120.5, -110.25, 33.3)
    kind: str = "classic"
    transfer_syntax: str = ExplicitVRLittleEndian
    attributes: dict[str, Any] = field(default_factory=dict)

    def with_attributes(self, **attributes: Any) -> "CtSource":
        return replace(self, attributes={**self.attributes, **attributes})


SOURCES = {
    "axial": CtSource(),
    "oblique": CtSource(orientation=OBLIQUE),
    "prone": CtSource(orientation=PRONE),
    "head to foot": CtSource(orientation=FEET_FIRST),
    "on the side": CtSource(orientation=TURNED, rows=48, columns=40),
    "not square": CtSource(rows=33, columns=51, spacing=(1.25, 0.4, 0.7)),
    "enhanced": CtSource(kind="enhanced"),
    "legacy": CtSource(kind="legacy", orientation=OBLIQUE),
    "implicit": CtSource(transfer_syntax=ImplicitVRLittleEndian),
}
"""One of every kind and orientation."""


def write_ct(folder: Path, source: CtSource) -> list[Path]:
    """Write the series into `folder`, instance numbers against the order of the files' names; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    images = _classic(source) if source.kind == "classic" else [_multi_frame(source)]
    paths = []
    for index, image in enumerate(images):
        for keyword, value in source.attributes.items():
            if value is None:
                image.pop(keyword, None)
            else:
                setattr(image, keyword, value)
        paths.append(folder / f"image{len(images) - index:04d}.dcm")
        image.save_as(paths[-1], enforce_file_format=True)
    return paths


def _classic(source: CtSource) -> list[Dataset]:
    return [_slice(source, index) for index in range(source.slices)]


def _slice(source: CtSource, index: int) -> Dataset:
    image = _common(source, CTImageStorage, f"{ROOT}.3.{index + 1}")
    image.InstanceNumber = source.slices - index
    image.ImagePositionPatient = _position(source, index)
    image.ImageOrientationPatient = _decimal(source.orientation)
    image.PixelSpacing = _decimal(source.spacing[1:])
    image.SliceThickness = "1.0"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.KVP = "120"
    image.AcquisitionNumber = 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "-1024", "1", "HU"
    image.PixelData = bytes(2 * source.rows * source.columns)
    return image


def _multi_frame(source: CtSource) -> Dataset:
    """An Enhanced (kind "enhanced") or Legacy Converted Enhanced (kind "legacy") CT image.

    The legacy one has its plane orientation in each frame, as converters write it.
    """
    enhanced = source.kind == "enhanced"
    image = _common(
        source, EnhancedCTImageStorage if enhanced else LegacyConvertedEnhancedCTImageStorage, f"{ROOT}.4.1"
    )
    image.InstanceNumber = 1
    image.NumberOfFrames = source.slices
    image.ImageType = ["ORIGINAL" if enhanced else "DERIVED", "PRIMARY", "VOLUME", "NONE"]
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=_decimal(source.spacing[1:]), SliceThickness="1.0")]
    rescale = _item(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")
    shared.PixelValueTransformationSequence = [rescale]
    orientation = [_item(ImageOrientationPatient=_decimal(source.orientation))]
    if enhanced:
        shared.PlaneOrientationSequence = orientation
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in range(source.slices):
        frame = Dataset()
        frame.FrameContentSequence = [_item(DimensionIndexValues=[index + 1])]
        frame.PlanePositionSequence = [_item(ImagePositionPatient=_position(source, index))]
        if not enhanced:
            frame.PlaneOrientationSequence = orientation
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    image.PixelData = bytes(2 * source.slices * source.rows * source.columns)
    return image


def _common(source: CtSource, sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = source.transfer_syntax
    image.file_meta.MediaStorageSOPClassUID = sop_class_uid
    image.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID, image.SOPInstanceUID = sop_class_uid, sop_instance_uid
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = f"{ROOT}.5", ""
    image.PatientName, image.PatientID = "Test^Case", "P-0815"
    image.PatientBirthDate, image.PatientSex, image.PatientAge = "19610207", "F", "064Y"
    image.StudyDate, image.StudyTime, image.StudyID = "20260110", "091502", "S7"
    image.ContentDate, image.ContentTime = "20260110", "092000"
    image.StudyDescription, image.AccessionNumber = "CTA head", "A-4711"
    image.ReferringPhysicianName = "Sender^Doctor"
    image.SeriesNumber, image.SeriesDescription, image.Modality = 4, "CTA 0.6 H30f", "CT"
    image.SeriesDate, image.SeriesTime = "20260110", "091800"
    image.PatientPosition, image.Laterality = "HFS", ""
    image.Manufacturer, image.ManufacturerModelName = "Scanner works", "CT 5"
    image.DeviceSerialNumber, image.SoftwareVersions = "12", "VA1"
    image.Rows, image.Columns = source.rows, source.columns
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    return image


def _position(source: CtSource, index: int) -> list[str]:
    normal = np.cross(source.orientation[:3], source.orientation[3:])
    return _decimal(np.array(source.origin) + index * source.spacing[0] * normal)


def _decimal(values: Sequence[float]) -> list[str]:
    return [f"{float(value):.9g}" for value in values]


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
