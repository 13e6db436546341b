"""Key images: pages that any viewer shows, as a series of Secondary Capture images (PS3.3 A.8.1)."""

from dataclasses import dataclass

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
    REPLACES_RESULTS,
    image_number,
    list_entry,
    place_of_lesion,
    summary,
)
from dicom_node.encoding.source_attributes import copy_body_part, stand_in, stated
from dicom_node.encoding.stamp import equipment_arguments, local_time, stamp_result
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import REASONS, Reason
from dicom_node.result_kinds import KEY_IMAGES, PDF
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

Page = tuple[Picture, list[Dataset]]
"""What is drawn, and the items that refer to the source's slices on it."""
MOST_PAGES = 60
"""Of lesions, the most certain first; who finds more has other worries than a picture of each."""
NOTHING_FOUND, NOT_ANALYSED, NO_PICTURES = "No aneurysm candidate", "Not analysed", "Findings without pictures"


@dataclass(frozen=True)
class Pages:
    """Drawn pages, in order, the header of the source that they are about, and whether it was analysed.

    stand_in: words in place of pictures, which may be made one day under the UIDs that these must not take.
    """

    pages: tuple[Page, ...]
    header: Dataset
    analysed: bool
    stand_in: bool = False

    def role(self, number: int) -> str:
        """The role of page `number`, from 1, as an image."""
        return f"{KEY_IMAGES}-words" if self.stand_in else f"{KEY_IMAGES}-{number}"

    @property
    def series(self) -> str:
        """What the series of the images is told from others by: pages of words have their own."""
        return self.role(1) if self.stand_in else KEY_IMAGES

    @property
    def document_role(self) -> str:
        """The role of the pages as a document."""
        return f"{PDF}-words" if self.stand_in else PDF


def draw_findings(source: SourceSeries, findings: Findings, volume: Volume, context: ResultContext) -> Pages:
    """An overview and a page for each lesion, of which there is at least one, up to MOST_PAGES of them.

    volume: of the source, on the findings' grid.
    """
    footer = _footer(source.datasets[0], context)
    lesions = findings.lesions
    images = [_slice_name(source, lesion) for lesion in lesions]
    series = _series_name(source.datasets[0])
    overview = draw_overview_page(
        volume, findings, [image.split()[-1] for image in images], series, footer, pages=MOST_PAGES
    )
    references = [slice_reference(source, k) for k in sorted({lesion.centre_index[0] for lesion in lesions})]
    pages: list[Page] = [(overview, references)]
    for lesion, image in zip(lesions[:MOST_PAGES], images, strict=False):
        where = f"{place_of_lesion(source, lesion, slices_of_lesion(lesion), series)} Window 600/200 HU."
        page = draw_lesion_page(volume, findings, lesion, where, image, footer)
        pages.append((page, [slice_reference(source, lesion.centre_index[0])]))
    return Pages(tuple(pages), source.datasets[0], analysed=True)


def draw_nothing_found(source: SourceSeries, context: ResultContext) -> Pages:
    """The page that says in words that nothing was found, and what that is worth."""
    header = source.datasets[0]
    slices, series = source.geometry.shape[0], _series_name(header)
    analysis = f"{slices} slices of {series} were analysed. {RESEARCH_USE}"
    page = statement_page(NOTHING_FOUND, [NO_CANDIDATE, analysis], _footer(header, context))
    return Pages(((page, []),), header, analysed=True)


def draw_refusal(header: Dataset, reason: Reason, context: ResultContext) -> Pages:
    """The page that says in words why a series was not analysed; the report has the details."""
    sentences = [
        f"{_series_name(header).capitalize()} was not analysed: aneurysms are neither found nor excluded.",
        f"{REASONS[reason].text} [{reason.value}]",
        REASONS[reason].advice,
    ]
    page = statement_page(NOT_ANALYSED, sentences, _footer(header, context))
    return Pages(((page, []),), header, analysed=False)


def draw_pictures_missing(source: SourceSeries, findings: Findings, context: ResultContext) -> Pages:
    """The page that stands for pictures that could not be made: what was found is in words."""
    header = source.datasets[0]
    said = ["The pictures of these findings could not be made.", summary(findings)]
    page = statement_page(NO_PICTURES, said, _footer(header, context))
    return Pages(((page, []),), header, analysed=True, stand_in=True)


def encode_key_images(drawn: Pages, context: ResultContext) -> list[Dataset]:
    """The pages as Secondary Capture images of one series, numbered from 1 in Instance Number."""
    return [
        _secondary_capture(drawn, number, page, references, context)
        for number, (page, references) in enumerate(drawn.pages, start=1)
    ]


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
    replaces = [REPLACES_RESULTS] if context.replaces_results else []
    return [f"{context.algorithm_name} {context.algorithm_version}{weights}, concluded {made} by {node}", *replaces]


def _secondary_capture(
    drawn: Pages, number: int, page: Picture, references: list[Dataset], context: ResultContext
) -> Dataset:
    header, analysed = drawn.header, drawn.analysed
    source, series_uid = stand_in(header), str(header.SeriesInstanceUID)
    image = hd.sc.SCImage(
        pixel_array=page,
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=context.result_uid(drawn.series, "series", series_uid),
        series_number=context.results.key_image_series_number,
        sop_instance_uid=context.result_uid(drawn.role(number), "instance", series_uid),
        instance_number=number,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description=list_entry(context.results.key_image_series_description, header, analysed=analysed),
        **equipment_arguments(context),
    )
    image.PatientOrientation = []  # a page shows several planes (PS3.3 C.7.6.1.1.1)
    if analysed:
        copy_body_part(header, image)
    else:
        image.Laterality = ""  # type 2C: of what part the images are is not known
    image.ConversionType = "SYN"  # PS3.3 C.8.6.1
    image.BurnedInAnnotation = "NO"  # nothing on a page tells who the patient is
    if references:
        image.SourceImageSequence = references
    stamp_result(image, header, context)
    image.DateOfSecondaryCapture, image.TimeOfSecondaryCapture = image.ContentDate, image.ContentTime
    return image
