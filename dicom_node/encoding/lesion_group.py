"""TID 1411: the measurement group of one lesion."""

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom import sr
from pydicom.sr.coding import Code

from dicom_node import codes
from dicom_node.encoding.context import ResultContext, tracking_identifier
from dicom_node.encoding.parameters import algorithm_parameters
from dicom_node.encoding.references import slices_of_lesion
from dicom_node.encoding.segmentation import EncodedSegmentation
from dicom_node.encoding.sentences import place_of_lesion
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import ReportForm
from glianet.findings import Findings, Lesion

DECIMALS = 2  # of mm3 and mm
SCORE_DECIMALS = 1  # of per cent


def lesion_group(
    source: SourceSeries,
    findings: Findings,
    lesion: Lesion,
    segmentation: EncodedSegmentation,
    context: ResultContext,
    form: ReportForm,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """The group of `lesion` (PS3.16 TID 1411): measurements, its segment, its images, and where to look.

    TID 1411 allows either a segment or a volume surface (rows 7 and 10), and not every viewer draws a
    group that refers to a segment only; so the centre is added under its own concept, which an extensible
    template permits (PS3.16 section 6.2.4): as a point of its image (SCOORD), and where the SR class knows
    three dimensions as a point of the patient (SCOORD3D). OHIF draws the first alone, and leaves out the
    measurements of a group that has but the second.
    """
    series_uid = str(source.datasets[0].SeriesInstanceUID)
    slices = slices_of_lesion(lesion)
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=context.tracking_uid(lesion.number, series_uid),
            identifier=tracking_identifier(lesion.number),
        ),
        finding_category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
        finding_type=codes.ANEURYSM,
        finding_sites=[sr.FindingSite(codes.CEREBRAL_ARTERY)],
        algorithm_id=algorithm_identification(findings),
        measurements=_measurements(lesion),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segmentation.dataset.SOPClassUID,
            sop_instance_uid=segmentation.dataset.SOPInstanceUID,
            segment_number=segmentation.segment_number(lesion),
            source_images=_source_images(source, slices),
        ),
    )
    _insert_place(group[0].ContentSequence, place_of_lesion(source, lesion, slices))
    group[0].ContentSequence.append(_centre_in_image(source, lesion))
    if form == "comprehensive-3d":
        group[0].ContentSequence.append(_centre(lesion, str(source.datasets[0].FrameOfReferenceUID)))
    return group


def algorithm_identification(findings: Findings) -> sr.AlgorithmIdentification:
    """TID 4019: name, version, weights and parameters of the algorithm."""
    return sr.AlgorithmIdentification(
        name=findings.algorithm_name,
        version=findings.algorithm_version,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        parameters=["; ".join(f"{name} {value}" for name, value in algorithm_parameters(findings).items())],
    )


def _measurements(lesion: Lesion) -> list[sr.Measurement]:
    return [
        _measurement(
            codes.VOLUME,
            round(lesion.volume_mm3, DECIMALS),
            codes.CUBIC_MILLIMETER,
            method=codes.SUM_OF_SEGMENTED_VOXELS,
        ),
        _measurement(codes.MAXIMUM_DIAMETER, round(lesion.maximum_diameter_mm, DECIMALS), codes.MILLIMETER),
        _percentage(codes.MEAN_SCORE, lesion.mean_score),
        _percentage(codes.MAXIMUM_SCORE, lesion.maximum_score),
        _percentage(codes.REGIONAL_RISK, lesion.risk),
    ]


def _percentage(name: Code, fraction: float) -> sr.Measurement:
    return _measurement(name, round(100 * fraction, SCORE_DECIMALS), codes.PERCENT)


def _measurement(name: Code, value: float, unit: Code, **modifiers: Any) -> sr.Measurement:
    return sr.Measurement(name=name, value=float(value), unit=unit, **modifiers)


def _source_images(source: SourceSeries, slices: Sequence[int]) -> list[sr.SourceImageForSegmentation]:
    """One item for each single-frame image; one item with all frame numbers for a multi-frame image."""
    planes = [source.geometry.planes[index] for index in slices]
    images = {str(image.SOPInstanceUID): image for image in source.datasets}
    frames: dict[str, list[int]] = {}
    for plane in planes:
        numbers = frames.setdefault(plane.sop_instance_uid, [])
        if plane.frame_number is not None:
            numbers.append(plane.frame_number)
    return [
        sr.SourceImageForSegmentation(str(images[uid].SOPClassUID), uid, sorted(numbers) or None)
        for uid, numbers in frames.items()
    ]


def _insert_place(items: sr.ContentSequence, text: str) -> None:
    """Put the sentence before the references, where a reader comes to it right after the measurements."""
    place = sr.TextContentItem(codes.COMMENT, text, hd.sr.RelationshipTypeValues.CONTAINS)
    first = next(index for index, item in enumerate(items) if item.ValueType == "IMAGE")
    items.insert(first, place)


def _centre(lesion: Lesion, frame_of_reference_uid: str) -> sr.Scoord3DContentItem:
    return sr.Scoord3DContentItem(
        name=codes.CENTER,
        graphic_type=sr.GraphicTypeValues3D.POINT,
        graphic_data=np.asarray([lesion.centre_lps_mm], dtype=np.float64),
        frame_of_reference_uid=frame_of_reference_uid,
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )


def _centre_in_image(source: SourceSeries, lesion: Lesion) -> sr.ScoordContentItem:
    """The centre as a point of its slice: column and row from the image's upper left corner (PS3.3 C.18.6.1.1)."""
    k, j, i = lesion.centre_index
    row, column = source.geometry.stored_index(j, i)
    point = sr.ScoordContentItem(
        name=codes.CENTER,
        graphic_type=sr.GraphicTypeValues.POINT,
        graphic_data=np.array([[column + 0.5, row + 0.5]]),
        relationship_type=sr.RelationshipTypeValues.CONTAINS,
    )
    plane = source.geometry.planes[k]
    frames = None if plane.frame_number is None else [plane.frame_number]
    image = sr.SourceImageForRegion(str(source.datasets[0].SOPClassUID), plane.sop_instance_uid, frames)
    point.ContentSequence = sr.ContentSequence([image])
    return point
