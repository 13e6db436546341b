"""The voxel scores of the findings as a FRACTIONAL Segmentation: a segment for each lesion, on the source's own grid.

A score is the network's own and not calibrated. DICOM calls a fraction of this kind PROBABILITY (PS3.3 C.8.20.2.3.2);
the content description says what it is.
"""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.references import position_key, refer_to_sources, slices_of_lesion
from dicom_node.encoding.segments import (
    derive_dimension_uid,
    describe_segments,
    stand_in_slice,
    stored_mask,
)
from dicom_node.encoding.source_attributes import copy_body_part
from dicom_node.encoding.stamp import object_arguments, stamp_result
from dicom_node.errors import NodeError
from dicom_node.geometry import SlicePlane
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import PROBABILITY
from glianet.findings import Findings
from glianet.score_files import HIGHEST

CONTENT_LABEL = "ANEURYSM_SCORES"  # CS
CONTENT_DESCRIPTION = "Network scores, not probabilities - for research use only"  # LO


def encode_probability(
    source: SourceSeries, findings: Findings, scores: NDArray[np.uint8], context: ResultContext
) -> Dataset:
    """The scores inside each lesion, 255 = 1.0, and 0 outside (PS3.3 A.51, C.8.20).

    scores: (D, H, W) uint8 on the findings' grid (`glianet.score_files.load_scores`). Segments, their numbers and
    tracking UIDs are those of the SEG of all lesions. Only slices that hold a lesion become frames.

    Raises:
        NodeError: there is no lesion, or the scores do not fit the findings.
    """
    _check(findings, scores)
    slices = sorted({k for lesion in findings.lesions for k in slices_of_lesion(lesion)})
    planes = [source.geometry.planes[index] for index in slices]
    header, results = source.datasets[0], context.results
    series_uid, description = str(header.SeriesInstanceUID), results.probability_series_description
    segmentation = hd.seg.Segmentation(
        source_images=[stand_in_slice(source, plane) for plane in planes],
        pixel_array=stored_mask(source, findings, slices, findings.lesions),
        segmentation_type=hd.seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=hd.seg.SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=HIGHEST,
        segment_descriptions=describe_segments(findings, findings.lesions, context, series_uid),
        content_label=CONTENT_LABEL,
        content_description=CONTENT_DESCRIPTION,
        **object_arguments(context, header, PROBABILITY, results.probability_series_number, description),
    )
    _put_scores(segmentation, source.geometry.to_stored(scores[slices]), planes)
    refer_to_sources(segmentation, source.datasets, planes)
    derive_dimension_uid(segmentation, context.result_uid(PROBABILITY, "dimensions", series_uid))
    copy_body_part(header, segmentation)
    stamp_result(segmentation, header, context)
    return segmentation


def _check(findings: Findings, scores: NDArray[np.uint8]) -> None:
    if not findings.lesions:
        raise NodeError("there is no lesion", where="voxel scores")
    if scores.shape != findings.labels.shape or scores.dtype != np.uint8:
        what = f"they are {scores.dtype} {scores.shape}, the findings uint8 {findings.labels.shape}"
        raise NodeError(what, where="voxel scores")


def _put_scores(segmentation: Dataset, scores: NDArray[np.uint8], planes: Sequence[SlicePlane]) -> None:
    """Put scores where the segments are 255.

    scores: (slices, rows, columns) of `planes`, as the source stores them. The constructor is given the lesions, and
    not the scores of each in an array of its own, which would take memory for every lesion in every slice.
    """
    index_at = {_place(position_key(plane.position)): index for index, plane in enumerate(planes)}
    shape = segmentation.NumberOfFrames, segmentation.Rows, segmentation.Columns
    frames = np.frombuffer(segmentation.PixelData, np.uint8, count=int(np.prod(shape))).reshape(shape)
    content = bytearray()
    for mask, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        index = index_at[_place(groups.PlanePositionSequence[0].ImagePositionPatient)]
        content += np.where(mask, scores[index], 0).astype(np.uint8).tobytes()
    segmentation.PixelData = bytes(content) + bytes(len(content) % 2)


def _place(position: Sequence[object]) -> tuple[float, ...]:
    return tuple(float(str(value)) for value in position)
