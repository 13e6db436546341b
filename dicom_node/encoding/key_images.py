"""Key images: pages that any viewer shows, as a series of Secondary Capture images (PS3.3 A.8.1)."""

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.encoding.context import RESEARCH_USE, ResultContext
from dicom_node.encoding.pages.lesion_page import draw_lesion_page
from dicom_node.encoding.pages.overview_page import draw_overview_page
from dicom_node.encoding.pages.sheet import Picture, statement_page
from dicom_node.encoding.references import slice_reference, slices_of_lesion
from dicom_node.encoding.sentences import (
    NO_CANDIDATE,
    image_number,
    list_entry,
    place_of_lesion,
    summary,
)
from dicom_node.encoding.source_attributes import stand_in, stated
from dicom_node.encoding.stamp import equipment_arguments, local_time, stamp_result
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

Page = tuple[Picture, list[Dataset]]
"""What is drawn, and the items that refer to the source's slices on it."""
ROLE = "key-image"
"""Of all pages together; page n has the role key-image-n."""
NOTHING_FOUND, NOT_ANALYSED, NO_PICTURES = "No aneurysm candidate", "Not analysed", "Findings without pictures"


def encode_key_images(
    source: SourceSeries, findings: Findings, volume: Volume, context: ResultContext
) -> list[Dataset]:
    """An overview and a page for each lesion, of which there is at least one.

    volume: of the source, on the findings' grid. Pages are numbered from 1 in Instance Number.
    """
    footer = _footer(source.datasets[0], context)
    lesions = findings.lesions
    images = [_slice_name(source, lesion) for lesion in lesions]
    series = _series_name(source.datasets[0])
    overview = draw_overview_page(volume, findings, [image.split()[-1] for image in images], series, footer)
    references = [slice_reference(source, k) for k in sorted({lesion.centre_index[0] for lesion in lesions})]
    pages: list[Page] = [(overview, references)]
    for lesion, image in zip(lesions, images, strict=True):
        where = f"{place_of_lesion(source, lesion, slices_of_lesion(lesion), series)} Window 600/200 HU."
        page = draw_lesion_page(volume, findings, lesion, where, image, footer)
        pages.append((page, [slice_reference(source, lesion.centre_index[0])]))
    return _as_series(pages, source.datasets[0], context, analysed=True)


def encode_nothing_found(source: SourceSeries, findings: Findings, context: ResultContext) -> list[Dataset]:
    """The page that says in words that nothing was found, and what that is worth."""
    header = source.datasets[0]
    slices, series = source.geometry.shape[0], _series_name(header)
    analysis = f"{slices} slices of {series} were analysed. {RESEARCH_USE}"
    page = statement_page(NOTHING_FOUND, [NO_CANDIDATE, analysis], _footer(header, context))
    return _as_series([(page, [])], header, context, analysed=True)


def encode_refusal_key_image(header: Dataset, reason: Reason, context: ResultContext) -> list[Dataset]:
    """The page that says in words why a series was not analysed; the report has the details."""
    sentences = [
        f"{_series_name(header).capitalize()} was not analysed: aneurysms are neither found nor excluded.",
        f"{REASONS[reason].text} [{reason.value}]",
        REASONS[reason].advice,
    ]
    page = statement_page(NOT_ANALYSED, sentences, _footer(header, context))
    return _as_series([(page, [])], header, context, analysed=False)


def encode_pictures_missing(source: SourceSeries, findings: Findings, context: ResultContext) -> list[Dataset]:
    """The page that stands for pictures that could not be drawn: what was found is in words, and in SEG and SR."""
    header = source.datasets[0]
    said = [
        "The pictures of these findings could not be made. The report and the segmentation have them.",
        summary(findings),
    ]
    page = statement_page(NO_PICTURES, said, _footer(header, context))
    return _as_series([(page, [])], header, context, analysed=True)


def page_role(number: int) -> str:
    """The role of page `number`, from 1."""
    return f"{ROLE}-{number}"


def kind_of(role: str) -> str:
    """"seg", "sr" or "key-image": what a destination's switches speak of."""
    return ROLE if role.startswith(f"{ROLE}-") else role


def _slice_name(source: SourceSeries, lesion: Lesion) -> str:
    k = lesion.centre_index[0]
    kind = "image" if source.geometry.planes[k].frame_number is None else "frame"
    return f"{kind} {image_number(source, k)}"


def _series_name(header: Dataset) -> str:
    """By its number alone: a description is free text, and what is drawn is not found by who removes names."""
    number = stated(header, "SeriesNumber")
    return "the series" if number is None else f"series {number}"


def _footer(header: Dataset, context: ResultContext) -> list[str]:
    weights = f", weights {context.weights_sha256[:16]}" if context.weights_sha256 else ""
    made = local_time(header, context).strftime("%Y-%m-%d %H:%M %z")
    node = f"node {context.node_ae_title}"
    return [f"{context.algorithm_name} {context.algorithm_version}{weights}, concluded {made} by {node}"]


def _as_series(
    pages: Sequence[Page], header: Dataset, context: ResultContext, *, analysed: bool
) -> list[Dataset]:
    return [
        _secondary_capture(page, number, references, header, context, analysed=analysed)
        for number, (page, references) in enumerate(pages, start=1)
    ]


def _secondary_capture(
    page: Picture, number: int, references: list[Dataset], header: Dataset, context: ResultContext, *, analysed: bool
) -> Dataset:
    source, series_uid = stand_in(header), str(header.SeriesInstanceUID)
    image = hd.sc.SCImage(
        pixel_array=page,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=context.result_uid(ROLE, "series", series_uid),
        series_number=context.results.key_image_series_number,
        sop_instance_uid=context.result_uid(page_role(number), "instance", series_uid),
        instance_number=number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=list_entry(context.results.key_image_series_description, header, analysed=analysed),
        **equipment_arguments(context),
    )
    image.PatientOrientation = []  # a page shows several planes (PS3.3 C.7.6.1.1.1)
    if analysed:
        image.BodyPartExamined = "HEAD"  # no paired part, hence without a Laterality (PS3.3 C.7.3.1)
    else:
        image.Laterality = ""  # type 2C: of what part the images are is not known
    image.ConversionType = "SYN"  # PS3.3 C.8.6.1
    image.BurnedInAnnotation = "NO"  # nothing on a page tells who the patient is
    if references:
        image.SourceImageSequence = references
    stamp_result(image, header, context)
    image.DateOfSecondaryCapture, image.TimeOfSecondaryCapture = image.ContentDate, image.ContentTime
    return image
