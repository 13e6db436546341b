"""What arrived in the demo's archive, read back from the files."""

from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

from dicom_node import codes

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Candidate:
    """One lesion as the archive holds it: voxel centres in LPS mm from the SEG, numbers from the SR."""

    number: int
    label: str
    points_lps_mm: np.ndarray  # (N, 3) float64
    volume_mm3: float
    maximum_diameter_mm: float
    mean_score_percent: float

    @property
    def centre_lps_mm(self) -> Point:
        x, y, z = self.points_lps_mm.mean(axis=0)
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class ReceivedResults:
    """The objects that the node delivered."""

    segmentations: tuple[Dataset, ...]
    reports: tuple[Dataset, ...]
    candidates: tuple[Candidate, ...]
    key_images: tuple[Dataset, ...] = ()


def received_results(archive: Path) -> ReceivedResults:
    """Every SEG, SR and key image in the archive's folder, and the lesions that SEG and SR describe together."""
    datasets = [dcmread(file) for file in sorted(archive.rglob("*.dcm"))]
    segmentations = tuple(one for one in datasets if one.get("SegmentationType") == "BINARY")
    reports = tuple(one for one in datasets if one.SOPClassUID == Comprehensive3DSRStorage)
    measured = {uid: values for report in reports for uid, values in _measurements(report).items()}
    candidates = [one for segmentation in segmentations for one in _candidates(segmentation, measured)]
    pages = [one for one in datasets if one.SOPClassUID == SecondaryCaptureImageStorage]
    pages.sort(key=lambda page: (page.SeriesInstanceUID, page.InstanceNumber))
    return ReceivedResults(segmentations, reports, tuple(candidates), tuple(pages))


def save_pictures(results: ReceivedResults, folder: Path) -> list[Path]:
    """The key images as PNG files, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"key-image-{number}.png" for number in range(1, len(results.key_images) + 1)]
    for file, page in zip(files, results.key_images, strict=True):
        Image.fromarray(page.pixel_array).save(file)
    return files


def _measurements(report: Dataset) -> dict[str, dict[str, float]]:
    """Tracking UID -> code value -> number, for every measurement group (TID 1411) of the report."""
    content = highdicom.sr.Comprehensive3DSR.from_dataset(report).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    return {
        str(group.tracking_uid): {one.name.value: float(one.value) for one in group.get_measurements()}
        for group in content.get_volumetric_roi_measurement_groups()
    }


def _candidates(segmentation: Dataset, measured: dict[str, dict[str, float]]) -> list[Candidate]:
    read = highdicom.seg.Segmentation.from_dataset(segmentation)
    candidates = []
    for number in read.segment_numbers:
        description = read.get_segment_description(number)
        values = measured[str(description.tracking_uid)]
        candidates.append(
            Candidate(
                number=int(number),
                label=str(description.segment_label),
                points_lps_mm=_points(read, int(number)),
                volume_mm3=values[codes.VOLUME.value],
                maximum_diameter_mm=values[codes.MAXIMUM_DIAMETER.value],
                mean_score_percent=values[codes.MEAN_SCORE.value],
            )
        )
    return candidates


def _points(read: highdicom.seg.Segmentation, number: int) -> np.ndarray:
    """Centres of the segment's voxels, (N, 3) LPS mm, by highdicom's own reading of the geometry."""
    volume = read.get_volume(segment_numbers=[number], combine_segments=True, allow_missing_positions=True)
    indices = np.argwhere(volume.array == number)
    return np.asarray(volume.map_indices_to_reference(indices))
