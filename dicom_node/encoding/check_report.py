"""Self-check, third part: does the SR say what the SEG and the findings say, about the same images?"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.encoding.check_identity import require
from dicom_node.encoding.check_segmentation import FoundSegment
from dicom_node.encoding.source_frames import source_frames
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings, Lesion

WHERE = "SR"
GROUP, TRACKING_IDENTIFIER, TRACKING_UID = "125007", "112039", "112040"
REFERENCED_SEGMENT, SOURCE_IMAGE, CENTER = "121191", "121233", "111010"
VOLUME, DIAMETER, ANEURYSM = "118565006", "L0JK", "85659009"
CENTRES = (["SCOORD"], ["SCOORD", "SCOORD3D"])
ROUNDING = 0.005 + 1e-6  # mm3 and mm are written with two decimals
POSITION_TOLERANCE_MM = 1e-3  # SCOORD3D holds single precision
PLANE_TOLERANCE_MM = 0.02  # of a point in an image: direction cosines of few digits, over 512 columns


def check_lesion_groups(
    document: Dataset, segments: Sequence[FoundSegment], source: SourceSeries, findings: Findings
) -> None:
    """Pass if there is one measurement group for each lesion, and each agrees with the segment that it refers to.

    segments: of the lesions, in their order, with the voxels counted in the SEG's pixels.

    Raises:
        NodeError: naming the lesion and what is wrong with it.
    """
    segmentations = {str(one.segmentation.SOPInstanceUID): one.segmentation for one in segments}
    _check_evidence(document, [*source.datasets, *segmentations.values()])
    groups = list(_groups(document))
    require(len(groups) == len(findings.lesions), f"it has {len(groups)} lesions", WHERE)
    for group, segment, lesion in zip(groups, segments, findings.lesions, strict=True):
        where = f"{WHERE}, lesion {lesion.number}"
        _check_tracking(group, segment.item, where)
        _check_references(group, segment.segmentation, segment.item, where)
        volume = segment.voxels * _voxel_volume_mm3(segment.segmentation)
        _check_measurement(group, VOLUME, volume, "volume", where)
        _check_measurement(group, DIAMETER, lesion.maximum_diameter_mm, "diameter", where)
        _check_centre(group, lesion, source, where)


def check_outcome(document: Dataset, sources: Sequence[Dataset], outcome: str) -> None:
    """Pass if the SR has one group, and it says about aneurysms what the code `outcome` means.

    Raises:
        NodeError: naming what is wrong.
    """
    _check_evidence(document, sources)
    groups = list(_groups(document))
    require(len(groups) == 1, f"it has {len(groups)} groups, not one for the series", WHERE)
    answers = [str(item.ConceptCodeSequence[0].CodeValue) for item in _items(groups[0], ANEURYSM)]
    require(answers == [outcome], f"the outcome is {answers}, not {outcome}", WHERE)


def _check_evidence(document: Dataset, images: Sequence[Dataset]) -> None:
    listed = {
        (str(study.StudyInstanceUID), str(series.SeriesInstanceUID), str(item.ReferencedSOPInstanceUID))
        for study in document.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    levels = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    needed = {tuple(str(image[level].value) for level in levels) for image in images}
    require(needed <= listed, "the evidence does not name every image that was analysed", WHERE)
    uids = {uid for _, _, uid in listed}
    referenced = {
        str(element.value)
        for item in document.ContentSequence
        for element in item.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }
    require(referenced <= uids, "it refers to an instance that the evidence does not name", WHERE)


def _groups(document: Dataset) -> Iterator[Dataset]:
    for container in document.ContentSequence:
        for item in container.get("ContentSequence") or []:
            if _concept(item) == GROUP:
                yield item


def _items(group: Dataset, concept: str) -> list[Dataset]:
    return [item for item in group.ContentSequence if _concept(item) == concept]


def _concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _single(group: Dataset, concept: str, name: str, where: str) -> Dataset:
    items = _items(group, concept)
    require(len(items) == 1, f"it has {len(items)} items of {name}", where)
    return items[0]


def _check_tracking(group: Dataset, segment: Dataset, where: str) -> None:
    identifier = _single(group, TRACKING_IDENTIFIER, "tracking identifier", where).TextValue
    uid = _single(group, TRACKING_UID, "tracking UID", where).UID
    require(identifier == segment.TrackingID, "the tracking identifier is not the segment's", where)
    require(uid == segment.TrackingUID, "the tracking UID is not the segment's", where)


def _check_references(group: Dataset, segmentation: Dataset, segment: Dataset, where: str) -> None:
    item = _single(group, REFERENCED_SEGMENT, "referenced segment", where).ReferencedSOPSequence[0]
    own = item.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
    require(own, "it refers to another segmentation", where)
    number = item.get("ReferencedSegmentNumber")
    require(number == segment.SegmentNumber, f"it refers to segment {number}", where)
    references = [image.ReferencedSOPSequence[0] for image in _items(group, SOURCE_IMAGE)]
    images = {str(reference.ReferencedSOPInstanceUID) for reference in references}
    known = {str(image.ReferencedSOPInstanceUID) for image in segmentation.SourceImageSequence}
    require(images and images <= known, "its source images are not the segmentation's", where)


def _voxel_volume_mm3(segmentation: Dataset) -> float:
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return float(np.prod([float(size) for size in (*measures.PixelSpacing, measures.SpacingBetweenSlices)]))


def _check_measurement(group: Dataset, concept: str, expected: float, name: str, where: str) -> None:
    value = _single(group, concept, name, where).MeasuredValueSequence[0]
    numbers = [float(value.NumericValue), float(value.get("FloatingPointValue", value.NumericValue))]
    right = all(abs(number - expected) <= ROUNDING + 1e-6 * expected for number in numbers)
    require(right, f"the {name} is {numbers[0]}, it should be {expected:.3f}", where)


def _check_centre(group: Dataset, lesion: Lesion, source: SourceSeries, where: str) -> None:
    points = _items(group, CENTER)
    kinds = [str(item.ValueType) for item in points]
    require(kinds in CENTRES, f"the centre is given as {kinds}", where)
    for point in points:
        _check_point(point, lesion, source, where)


def _check_point(item: Dataset, lesion: Lesion, source: SourceSeries, where: str) -> None:
    if item.ValueType == "SCOORD3D":
        frame_of_reference_uid = str(source.datasets[0].FrameOfReferenceUID)
        same = item.ReferencedFrameOfReferenceUID == frame_of_reference_uid
        require(same, "the centre lies in another frame of reference", where)
        point, tolerance = np.array(item.GraphicData, np.float64), POSITION_TOLERANCE_MM
    else:
        point, tolerance = _point_in_patient(item, source, where), PLANE_TOLERANCE_MM
    near = np.allclose(point, lesion.centre_lps_mm, rtol=0, atol=tolerance)
    require(near, f"the centre is {point.tolist()}, not {list(lesion.centre_lps_mm)}", where)


def _point_in_patient(item: Dataset, source: SourceSeries, where: str) -> npt.NDArray[np.float64]:
    """(3,) LPS mm of a SCOORD: column and row in an image, 0.5 being the middle of the first (PS3.3 C.18.6.1.1)."""
    reference = item.ContentSequence[0].ReferencedSOPSequence[0]
    number = reference.get("ReferencedFrameNumber")
    key = str(reference.ReferencedSOPInstanceUID), None if number is None else int(number)
    frames = [frame for frame in source_frames(source.datasets) if frame.key == key]
    require(frames, f"the centre lies in {key}, which is not the source's", where)
    column, row = (float(value) - 0.5 for value in item.GraphicData)
    along_row = column * frames[0].spacing[1] * frames[0].directions[0]
    along_column = row * frames[0].spacing[0] * frames[0].directions[1]
    point: npt.NDArray[np.float64] = frames[0].position + along_row + along_column
    return point
