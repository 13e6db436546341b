"""References from a result to the images that it was made from (PS3.3 C.7.6.16.2.6, C.12.2)."""

from collections.abc import Iterable, Sequence

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from dicom_node.codes import SOURCE_OF_PROCESSING, UNSPECIFIED_CALCULATION
from dicom_node.encoding.context import EarlierReport
from dicom_node.geometry import SlicePlane
from dicom_node.read_series import SourceSeries
from glianet.findings import Lesion


def position_key(values: Iterable[float]) -> list[str]:
    """Numbers as Decimal Strings (16 characters), so that a plane can be found again by its position."""
    return [format_number_as_ds(float(value)) for value in values]


def slices_of_lesion(lesion: Lesion) -> range:
    """Slice indices k of a lesion: it is connected, so it lies in every slice of its bounding box."""
    return range(*lesion.bounding_box[0])


def refer_to_sources(segmentation: Dataset, sources: Sequence[Dataset], planes: Sequence[SlicePlane]) -> None:
    """Let the frames of `segmentation` refer to the source image, or frame of it, of their slice.

    `planes` are the slices that hold a lesion. Source Image Sequence and Referenced Series Sequence name
    the images of these slices, each once.
    """
    images = {str(image.SOPInstanceUID): image for image in sources}
    planes_at = {tuple(map(float, position_key(plane.position))): plane for plane in planes}
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        plane = planes_at[tuple(map(float, position))]
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        reference.ReferencedSOPClassUID = images[plane.sop_instance_uid].SOPClassUID
        reference.ReferencedSOPInstanceUID = plane.sop_instance_uid
        if plane.frame_number is not None:
            reference.ReferencedFrameNumber = plane.frame_number
    referenced = [images[uid] for uid in dict.fromkeys(plane.sop_instance_uid for plane in planes)]
    _name_images(segmentation, referenced)


def refer_to_series(result: Dataset, sources: Sequence[Dataset]) -> None:
    """Let all frames of `result`, a map on a grid of its own, refer to all images of the source together."""
    _name_images(result, sources)
    derivation = Dataset()
    derivation.DerivationCodeSequence = [CodedConcept.from_code(UNSPECIFIED_CALCULATION)]
    derivation.SourceImageSequence = [instance_reference(image) for image in sources]
    for image in derivation.SourceImageSequence:
        image.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(SOURCE_OF_PROCESSING)]
    result.SharedFunctionalGroupsSequence[0].DerivationImageSequence = [derivation]
    for groups in result.PerFrameFunctionalGroupsSequence:
        groups.pop("DerivationImageSequence", None)


def _name_images(result: Dataset, images: Sequence[Dataset]) -> None:
    """Source Image Sequence and Referenced Series Sequence: `images`, of one series, each once."""
    result.SourceImageSequence = [instance_reference(image) for image in images]
    series = Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ReferencedInstanceSequence = [instance_reference(image) for image in images]
    result.ReferencedSeriesSequence = [series]


def slice_reference(source: SourceSeries, index: int) -> Dataset:
    """An item that refers to the source image, or the frame of it, of slice `index` (PS3.3 table 10-3)."""
    plane = source.geometry.planes[index]
    image = next(one for one in source.datasets if str(one.SOPInstanceUID) == plane.sop_instance_uid)
    reference = instance_reference(image)
    if plane.frame_number is not None:
        reference.ReferencedFrameNumber = plane.frame_number
    return reference


def list_evidence(document: Dataset, images: Sequence[Dataset]) -> None:
    """Name `images`, all of the document's study, as the evidence of a report (PS3.3 C.17.2.1)."""
    series: dict[str, list[Dataset]] = {}
    for image in images:
        series.setdefault(str(image.SeriesInstanceUID), []).append(image)
    study = Dataset()
    study.StudyInstanceUID = document.StudyInstanceUID
    study.ReferencedSeriesSequence = [_series_reference(uid, members) for uid, members in series.items()]
    document.CurrentRequestedProcedureEvidenceSequence = [study]


def predecessors(study_instance_uid: str, reports: Sequence[EarlierReport]) -> list[Dataset]:
    """Predecessor Documents Sequence (PS3.3 C.17.2): the reports of the same study that a new one replaces."""
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = []
    for report in reports:
        document, series = Dataset(), Dataset()
        document.ReferencedSOPClassUID = report.sop_class_uid
        document.ReferencedSOPInstanceUID = report.sop_instance_uid
        series.SeriesInstanceUID = report.series_instance_uid
        series.ReferencedSOPSequence = [document]
        study.ReferencedSeriesSequence.append(series)
    return [study]


def _series_reference(uid: str, images: Sequence[Dataset]) -> Dataset:
    reference = Dataset()
    reference.SeriesInstanceUID = uid
    reference.ReferencedSOPSequence = [instance_reference(image) for image in images]
    return reference


def instance_reference(image: Dataset) -> Dataset:
    """An item that refers to an instance (PS3.3 table 10-11)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return reference
