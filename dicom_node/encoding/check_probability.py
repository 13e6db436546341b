"""Self-check of the voxel scores: does the FRACTIONAL SEG hold each lesion's scores, at their place in the patient?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node.encoding.check_frames import (
    canonical_indices,
    check_frame,
    check_series_reference,
    segment_number,
    stored_pixels,
)
from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.encoding.source_frames import SourceFrame, source_frames
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

WHERE = "voxel scores"
FORM = {
    "SegmentationType": "FRACTIONAL",
    "SegmentationFractionalType": "PROBABILITY",
    "MaximumFractionalValue": 255,
    "BitsAllocated": 8,
    "ContentQualification": "RESEARCH",
}


def check_probability(
    encoded: EncodedObject,
    source: SourceSeries,
    findings: Findings,
    scores: npt.NDArray[np.uint8],
    tracking_uids: Sequence[str] | None = None,
) -> None:
    """Pass if the bytes hold the scores inside each lesion and nothing else, in the right study and place.

    scores: (D, H, W) uint8, 255 = 1.0, on the findings' grid.
    tracking_uids: where given, those that the lesions have in the SEG, in their order.

    Raises:
        NodeError: naming the first thing that is wrong.
    """
    with complete(WHERE):
        segmentation = check_identity(encoded, SegmentationStorage, source.datasets)
        _check_header(segmentation, source)
        _check_segments(segmentation, findings, tracking_uids)
        rebuilt = np.zeros_like(scores)
        frames = {frame.key: frame for frame in source_frames(source.datasets)}
        pairs = zip(stored_pixels(segmentation), segmentation.PerFrameFunctionalGroupsSequence, strict=True)
        for pixels, groups in pairs:
            _put_back(segmentation, groups, pixels, frames, findings, rebuilt)
        for ours, found, labels in zip(rebuilt, scores, findings.labels, strict=True):
            differing = np.count_nonzero(ours != np.where(labels > 0, found, 0))
            require(differing == 0, f"{differing} scores of a slice differ from those that were found", WHERE)


def _check_header(segmentation: Dataset, source: SourceSeries) -> None:
    same = segmentation.get("FrameOfReferenceUID") == source.datasets[0].get("FrameOfReferenceUID")
    require(same, "the frame of reference is not the source's", WHERE)
    for keyword, wanted in FORM.items():
        value = segmentation.get(keyword)
        require(value == wanted, f"{keyword} is {value}, not {wanted}", WHERE)
    check_series_reference(segmentation, source)


def _check_segments(segmentation: Dataset, findings: Findings, tracking_uids: Sequence[str] | None) -> None:
    numbers = [int(item.SegmentNumber) for item in segmentation.SegmentSequence]
    expected = [lesion.number for lesion in findings.lesions]
    require(numbers == expected, f"the segments are {numbers}, the lesions {expected}", WHERE)
    tracking = [str(item.get("TrackingUID") or "") for item in segmentation.SegmentSequence]
    require(len(set(tracking)) == len(tracking) and all(tracking), "tracking UIDs repeat or lack", WHERE)
    same = tracking_uids is None or tracking == list(tracking_uids)
    require(same, "the tracking UIDs are not those of the SEG", WHERE)


def _put_back(
    segmentation: Dataset,
    groups: Dataset,
    pixels: npt.NDArray[Any],
    frames: dict[Any, SourceFrame],
    findings: Findings,
    rebuilt: npt.NDArray[np.uint8],
) -> None:
    """Write the scores of a frame into `rebuilt` (D, H, W), once they lie in the lesion of its segment."""
    check_frame(segmentation, groups, frames)
    number = segment_number(segmentation, groups)
    require(pixels.any(), f"a frame of segment {number} is empty", WHERE)
    indices = canonical_indices(segmentation, groups, pixels > 0, findings)
    inside = (findings.labels[indices] == number).all()
    require(inside, f"segment {number} has scores outside its lesion", WHERE)
    require(not rebuilt[indices].any(), "two frames share a voxel", WHERE)
    rebuilt[indices] = pixels[pixels > 0]
