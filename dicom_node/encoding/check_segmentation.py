"""Self-check, second part: does the SEG hold the mask that was found, at its place in the patient?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node.encoding.check_frames import (
    WHERE,
    canonical_indices,
    check_frame,
    check_series_reference,
    segment_number,
    stored_pixels,
)
from dicom_node.encoding.check_identity import require
from dicom_node.encoding.source_frames import SourceFrame, source_frames
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import LABEL_MAP_STORAGE
from glianet.findings import Findings


@dataclass(frozen=True)
class FoundSegment:
    """A segment as it was read back: its object, its item of Segment Sequence, and its voxels in the pixels."""

    segmentation: Dataset
    item: Dataset
    voxels: int


def check_segmentations(
    segmentations: Sequence[Dataset], source: SourceSeries, findings: Findings
) -> list[FoundSegment]:
    """The segment of each lesion, once references, geometry and masks of all objects are right together.

    Raises:
        NodeError: naming the first thing that is wrong.
    """
    frames = {frame.key: frame for frame in source_frames(source.datasets)}
    rebuilt = np.zeros(findings.labels.shape, dtype=findings.labels.dtype)
    found: list[FoundSegment] = []
    for segmentation in segmentations:
        _check_header(segmentation, source)
        counts = _put_back(segmentation, frames, findings, rebuilt, first=len(found) + 1)
        items = _segments(segmentation)
        require([number for number, _ in items] == list(range(1, len(items) + 1)), "segments are not numbered", WHERE)
        found += [FoundSegment(segmentation, item, counts[number]) for number, item in items]
    _check_segments(found, findings)
    pairs = zip(rebuilt, findings.labels, strict=True)
    differing = sum(int(np.count_nonzero(ours != wanted)) for ours, wanted in pairs)
    require(differing == 0, f"{differing} voxels differ from the mask that was found", WHERE)
    return found


def _check_header(segmentation: Dataset, source: SourceSeries) -> None:
    same = segmentation.get("FrameOfReferenceUID") == source.datasets[0].get("FrameOfReferenceUID")
    require(same, "the frame of reference is not the source's", WHERE)
    kind = segmentation.get("SegmentationType")
    wanted = {SegmentationStorage: "BINARY", LABEL_MAP_STORAGE: "LABELMAP"}[segmentation.SOPClassUID]
    require(kind == wanted, f"the segmentation is {kind}, not {wanted}", WHERE)
    check_series_reference(segmentation, source)


def _put_back(
    segmentation: Dataset,
    frames: dict[Any, SourceFrame],
    findings: Findings,
    rebuilt: npt.NDArray[np.uint16],
    first: int,
) -> Counter[int]:
    """Write the segments, numbered on from `first`, into `rebuilt`; the voxels of each by its own number."""
    voxels: Counter[int] = Counter()
    pixels = stored_pixels(segmentation)
    for frame, groups in zip(pixels, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        check_frame(segmentation, groups, frames)
        numbers = _numbered(segmentation, groups, frame)
        indices = canonical_indices(segmentation, groups, numbers > 0, findings)
        require(not rebuilt[indices].any(), "two segments share a voxel", WHERE)
        values = numbers[numbers > 0]
        rebuilt[indices] = values + (first - 1)
        voxels.update(values.tolist())
    return voxels


def _segments(segmentation: Dataset) -> list[tuple[int, Dataset]]:
    """Number and item of each segment but the background, which a label map lists as 0 (PS3.3 C.8.20.2)."""
    numbered = [(int(item.SegmentNumber), item) for item in segmentation.SegmentSequence]
    return [(number, item) for number, item in numbered if number > 0]


def _check_segments(found: Sequence[FoundSegment], findings: Findings) -> None:
    count = len(findings.lesions)
    require(len(found) == count, f"it has {len(found)} segments for {count} lesions", WHERE)
    tracking = [one.item.get("TrackingUID") for one in found]
    require(len(set(tracking)) == len(tracking) and all(tracking), "tracking UIDs repeat or lack", WHERE)


def _numbered(
    segmentation: Dataset, groups: Dataset, frame: npt.NDArray[np.unsignedinteger]
) -> npt.NDArray[np.uint16]:
    """(rows, columns) uint16: the number of the segment of each pixel, 0 for none."""
    if segmentation.SegmentationType == "LABELMAP":
        return frame.astype(np.uint16)
    return frame.astype(np.uint16) * np.uint16(segment_number(segmentation, groups))
