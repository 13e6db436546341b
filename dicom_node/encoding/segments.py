"""What Segmentations and maps are built of: stand-ins for the source's slices, masks, descriptions of segments."""

import math
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from dicom_node.codes import (
    ANEURYSM,
    ARTIFICIAL_INTELLIGENCE,
    CEREBRAL_ARTERY,
    MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
)
from dicom_node.encoding.context import MANUFACTURER, ResultContext, tracking_identifier
from dicom_node.encoding.parameters import algorithm_parameters
from dicom_node.encoding.references import position_key
from dicom_node.encoding.source_attributes import stand_in, stated
from dicom_node.geometry import SlicePlane
from dicom_node.identifiers import derive_uid
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings, Lesion

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))  # neighbouring numbers get hues that lie far apart


def stand_in_slice(source: SourceSeries, plane: SlicePlane) -> Dataset:
    """A single CT slice with the geometry of `plane`: what the constructor needs of a source image.

    A frame of a multi-frame source is given as a slice of its own; refer_to_sources then refers to the frame.
    """
    header = source.datasets[0]
    slice_ = stand_in(header)
    slice_.SOPInstanceUID = derive_uid("stand-in", plane.sop_instance_uid, str(plane.frame_number))
    slice_.Rows, slice_.Columns = plane.rows, plane.columns
    slice_.FrameOfReferenceUID = str(header.FrameOfReferenceUID)
    slice_.PositionReferenceIndicator = stated(header, "PositionReferenceIndicator")
    slice_.ImagePositionPatient = position_key(plane.position)
    slice_.ImageOrientationPatient = position_key((*plane.row_direction, *plane.column_direction))
    slice_.PixelSpacing = position_key(plane.pixel_spacing)
    slice_.SpacingBetweenSlices = position_key(source.geometry.spacing[:1])[0]
    slice_.SliceThickness = _slice_thickness(header) or slice_.SpacingBetweenSlices
    return slice_


def _slice_thickness(header: Dataset) -> str | None:
    """Slice Thickness of a slice, or of the first frame of a multi-frame image, as it is written there."""
    groups: Sequence[Dataset] = [
        *header.get("SharedFunctionalGroupsSequence", []),
        *header.get("PerFrameFunctionalGroupsSequence", [])[:1],
    ]
    measures = [group.PixelMeasuresSequence[0] for group in groups if group.get("PixelMeasuresSequence")]
    thicknesses = (stated(item, "SliceThickness") for item in [header, *measures])
    return next((str(thickness) for thickness in thicknesses if thickness), None)


def stored_mask(
    source: SourceSeries, findings: Findings, slices: Sequence[int], lesions: Sequence[Lesion]
) -> np.ndarray:
    """Segment numbers in `slices`: (slices, rows, columns) uint16, rows and columns as the source stores them."""
    labels = np.ascontiguousarray(source.geometry.to_stored(findings.labels[slices]), dtype=np.uint16)
    if len(lesions) == len(findings.lesions):
        return labels
    (lesion,) = lesions
    return (labels == lesion.number).astype(np.uint16)


def describe_segments(
    findings: Findings, lesions: Sequence[Lesion], context: ResultContext, series_uid: str
) -> list[hd.seg.SegmentDescription]:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=findings.algorithm_name,
        version=findings.algorithm_version,
        family=ARTIFICIAL_INTELLIGENCE,
        source=MANUFACTURER,
        parameters=algorithm_parameters(findings),
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=tracking_identifier(lesion.number),
            segmented_property_category=MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
            segmented_property_type=ANEURYSM,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=context.tracking_uid(lesion.number, series_uid),
            tracking_id=tracking_identifier(lesion.number),
            anatomic_regions=[CEREBRAL_ARTERY],
            display_color=_display_colour(lesion.number),
        )
        for number, lesion in enumerate(lesions, start=1)
    ]


def _display_colour(number: int) -> hd.color.CIELabColor:
    """A bright colour for lesion `number` that differs from every other lesion's."""
    hue = number * GOLDEN_ANGLE
    lightness = 58.0 + 14.0 * (number % 3)
    return hd.color.CIELabColor(lightness, 60.0 * math.cos(hue), 60.0 * math.sin(hue))


def derive_dimension_uid(segmentation: Dataset, uid: str) -> None:
    """highdicom draws this UID at random; identical findings shall give identical bytes."""
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
