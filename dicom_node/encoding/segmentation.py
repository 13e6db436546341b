"""DICOM Segmentation of the findings: a segment for each lesion, on the source's own grid."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import highdicom as hd
from pydicom.dataset import Dataset

from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.references import refer_to_sources, slices_of_lesion
from dicom_node.encoding.segments import (
    derive_dimension_uid,
    describe_segments,
    stand_in_slice,
    stored_mask,
)
from dicom_node.encoding.source_attributes import copy_body_part
from dicom_node.encoding.stamp import object_arguments, stamp_result
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import SegmentationForm
from glianet.findings import Findings, Lesion

BINARY = SegmentationForm()
MOST_PIXELS = 2000 * 512 * 512
"""Of all frames of a form that has a frame for every slice: 2,000 frames of 512 x 512 take 1 GB while they are made."""
CONTENT_LABEL = "ANEURYSMS"  # CS
CONTENT_DESCRIPTION = "Aneurysm candidates by algorithm - for research use only"  # LO


@dataclass(frozen=True)
class EncodedSegmentation:
    """A Segmentation, its role among the results, and the lesions of its segments, in their order."""

    role: str
    dataset: Dataset
    lesions: tuple[Lesion, ...]

    def segment_number(self, lesion: Lesion) -> int:
        """The number of the segment that is the lesion."""
        return self.lesions.index(lesion) + 1


def encode_segmentations(
    source: SourceSeries, findings: Findings, context: ResultContext, form: SegmentationForm = BINARY
) -> list[EncodedSegmentation]:
    """All lesions in the order of `findings.lesions`: one SEG, or one for each (PS3.3 A.51, C.8.20).

    Each frame refers to the source image or frame of its slice. Segments are numbered from 1 in each object. Frames
    for slices without a lesion, where the form has them, are left out of what would get too large.

    Raises:
        NodeError: there is no lesion, or the labels do not number the lesions from 1.
    """
    _check_numbers(findings)
    return list(_encode_each(source, findings, context, form))


def has_room_for_empty_frames(source: SourceSeries, findings: Findings, form: SegmentationForm) -> bool:
    """Whether a frame for every slice is within MOST_PIXELS; each lesion has its own but in a label map of all."""
    shared = form.kind == "labelmap" and not form.apart
    frames_of_a_slice = 1 if shared else len(findings.lesions)
    return math.prod(source.geometry.shape) * frames_of_a_slice <= MOST_PIXELS


def _encode_each(
    source: SourceSeries, findings: Findings, context: ResultContext, form: SegmentationForm
) -> Iterator[EncodedSegmentation]:
    if not form.apart:
        mask = _encode(source, findings, findings.lesions, context, form, form.result_kind)
        yield EncodedSegmentation(form.result_kind, mask, findings.lesions)
        return
    for lesion in findings.lesions:
        role = f"{form.result_kind}-{lesion.number}"
        yield EncodedSegmentation(role, _encode(source, findings, (lesion,), context, form, role), (lesion,))


def _encode(
    source: SourceSeries,
    findings: Findings,
    lesions: Sequence[Lesion],
    context: ResultContext,
    form: SegmentationForm,
    role: str,
) -> Dataset:
    """A SEG with a segment for each of `lesions`."""
    slices = sorted({k for lesion in lesions for k in slices_of_lesion(lesion)})
    empty_frames = form.empty_frames and has_room_for_empty_frames(source, findings, form)
    if empty_frames:
        slices = list(range(source.geometry.shape[0]))
    planes = [source.geometry.planes[index] for index in slices]
    header = source.datasets[0]
    series_uid = str(header.SeriesInstanceUID)
    segmentation = hd.seg.Segmentation(
        source_images=[stand_in_slice(source, plane) for plane in planes],
        pixel_array=stored_mask(source, findings, slices, lesions),
        segmentation_type=hd.seg.SegmentationTypeValues[form.kind.upper()],
        segment_descriptions=describe_segments(findings, lesions, context, series_uid),
        content_label=CONTENT_LABEL,
        content_description=CONTENT_DESCRIPTION,
        omit_empty_frames=not empty_frames,
        **object_arguments(
            context,
            header,
            form.result_kind,
            context.results.segmentation_series_number,
            context.results.segmentation_series_description,
            role=role,
            instance_number=lesions[0].number if form.apart else 1,
        ),
    )
    refer_to_sources(segmentation, source.datasets, planes)
    derive_dimension_uid(segmentation, context.result_uid(role, "dimensions", series_uid))
    copy_body_part(header, segmentation)
    stamp_result(segmentation, header, context)
    return segmentation


def _check_numbers(findings: Findings) -> None:
    numbers = [lesion.number for lesion in findings.lesions]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise NodeError(f"lesions are numbered {numbers}, not from 1 upwards", where="segmentation")
