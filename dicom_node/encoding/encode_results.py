"""The stage that turns findings, or a refusal, into checked DICOM files."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.encoding.check_identity import complete
from dicom_node.encoding.check_key_images import check_key_images, check_pages
from dicom_node.encoding.check_pdf import check_pdf
from dicom_node.encoding.check_presentation_state import check_presentation_state
from dicom_node.encoding.check_probability import check_probability
from dicom_node.encoding.check_risk_map import check_risk_map
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.encapsulated_pdf import encode_pdf
from dicom_node.encoding.key_images import (
    Pages,
    draw_findings,
    draw_nothing_found,
    draw_pictures_missing,
    draw_refusal,
    encode_key_images,
    page_role,
)
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.presentation_state import common_rescale, encode_presentation_state
from dicom_node.encoding.probability_map import encode_probability
from dicom_node.encoding.report import encode_refusal, encode_report
from dicom_node.encoding.risk_map import encode_risk_map
from dicom_node.encoding.segmentation import encode_segmentations
from dicom_node.encoding.self_check import check_refusal, check_results
from dicom_node.encoding.source_attributes import identified_images
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.read_series import SourceSeries, read_volume
from dicom_node.reasons import Reason
from dicom_node.result_kinds import (
    KEY_IMAGES,
    PDF,
    PRESENTATION_STATE,
    PROBABILITY,
    REPORT,
    REPORTS,
    RISK_MAP,
    RISK_MAP_AS_SEGMENTATION,
    SEGMENTATION,
    SEGMENTATIONS,
    SegmentationForm,
    report_kind,
)
from glianet.findings import Findings
from glianet.scores import RiskGrid

__all__ = ["EncodedObject", "Maps", "encode_refusal_results", "encode_results"]

STANDARD = frozenset((SEGMENTATION, REPORT))


@dataclass(frozen=True, eq=False)
class Maps:
    """What an analysis kept beside its findings, as far as it did.

    scores: (D, H, W) uint8 on the findings' grid, 255 for a score of 1. risk: of the patches.
    """

    scores: npt.NDArray[np.uint8] | None = None
    risk: RiskGrid | None = None


def encode_results(
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    wanted: Collection[str] = STANDARD,
    maps: Maps | None = None,
    *,
    only_essential: bool = False,
) -> tuple[EncodedObject, ...]:
    """The results of `findings` as files, read back and checked.

    A Segmentation comes with a report that refers to it, and a report with its Segmentation; where there is no lesion
    there are reports, pages of words and a risk map alone.

    wanted: names of `result_kinds`. maps: a map that was not kept gives no object. only_essential: SEG and SR alone,
    and a page of words in place of key images, where these are what fails. The same arguments give the same bytes.

    Raises:
        NodeError: the findings do not fit the source, or what was written does not say what was found.
    """
    with _reported():
        objects = [one for form in _forms(wanted) for one in _encode_form(source, findings, context, form, wanted)]
        if only_essential:
            pages = draw_pictures_missing(source, findings, context)
            return (*objects, *_encode_pages(pages, source.datasets, context, set(wanted) & {KEY_IMAGES}))
        objects += _encode_pictures(source, findings, context, wanted)
        objects += _encode_maps(source, findings, context, wanted, maps or Maps())
        return tuple(objects)


def _forms(wanted: Collection[str]) -> list[SegmentationForm]:
    """Forms of Segmentations that are wanted, or that a wanted report refers to."""
    named = [SEGMENTATIONS[kind] for kind in sorted(wanted) if kind in SEGMENTATIONS]
    referred_to = [REPORTS[kind][0] for kind in sorted(wanted) if kind in REPORTS]
    return list(dict.fromkeys(named + referred_to)) or [SegmentationForm()]


def _encode_form(
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    form: SegmentationForm,
    wanted: Collection[str],
) -> list[EncodedObject]:
    """The Segmentations of a form and the wanted reports that refer to them, at least one."""
    segmentations = encode_segmentations(source, findings, context, form) if findings.lesions else []
    objects = [to_part10(one.role, one.dataset, form.result_kind) for one in segmentations]
    kinds = [kind for kind in sorted(wanted) if kind in REPORTS and REPORTS[kind][0] == form]
    reports = [
        to_part10(kind, encode_report(source, findings, segmentations, context, kind))
        for kind in kinds or [report_kind(form, "comprehensive-3d")]
    ]
    for report in reports:
        check_results([*objects, report], source, findings)
    return objects + reports


def _encode_pictures(
    source: SourceSeries, findings: Findings, context: ResultContext, wanted: Collection[str]
) -> list[EncodedObject]:
    objects: list[EncodedObject] = []
    if KEY_IMAGES in wanted or PDF in wanted:
        if findings.lesions:
            drawn = draw_findings(source, findings, read_volume(source), context)
        else:
            drawn = draw_nothing_found(source, context)
        objects += _encode_pages(drawn, source.datasets, context, wanted)
        if KEY_IMAGES in wanted:
            with complete("key images"):
                check_key_images([one for one in objects if one.kind == KEY_IMAGES], source, findings)
    if PRESENTATION_STATE in wanted and findings.lesions and common_rescale(source) is not None:
        state = to_part10(PRESENTATION_STATE, encode_presentation_state(source, findings, context))
        with complete("presentation state"):
            check_presentation_state(state, source, findings)
        objects.append(state)
    return objects


def _encode_pages(
    drawn: Pages, sources: Sequence[Dataset], context: ResultContext, wanted: Collection[str]
) -> list[EncodedObject]:
    """Pages as images, as a document, or as both; what every page must be is checked."""
    objects: list[EncodedObject] = []
    if KEY_IMAGES in wanted:
        images = encode_key_images(drawn, context)
        objects = [to_part10(page_role(number), page, KEY_IMAGES) for number, page in enumerate(images, start=1)]
        with complete("key images"):
            check_pages(objects, sources)
    if PDF in wanted:
        pictures = [picture for picture, _ in drawn.pages]
        shown = [reference for _, references in drawn.pages for reference in references]
        dataset = encode_pdf(pictures, drawn.header, context, analysed=drawn.analysed, references=shown)
        document = to_part10(PDF, dataset)
        with complete("document"):
            check_pdf(document, sources, len(pictures))
        objects.append(document)
    return objects


def _encode_maps(
    source: SourceSeries, findings: Findings, context: ResultContext, wanted: Collection[str], maps: Maps
) -> list[EncodedObject]:
    objects: list[EncodedObject] = []
    if PROBABILITY in wanted and findings.lesions and maps.scores is not None:
        scores = to_part10(PROBABILITY, encode_probability(source, findings, maps.scores, context))
        with complete("scores"):
            check_probability(scores, source, findings, maps.scores)
        objects.append(scores)
    for kind in sorted(set(wanted) & {RISK_MAP, RISK_MAP_AS_SEGMENTATION}):
        if maps.risk is not None:
            as_segmentation = kind == RISK_MAP_AS_SEGMENTATION
            dataset = encode_risk_map(source, findings, maps.risk, context, as_segmentation=as_segmentation)
            risk = to_part10(kind, dataset)
            with complete("risk map"):
                check_risk_map(risk, source, findings, maps.risk)
            objects.append(risk)
    return objects


def encode_refusal_results(
    headers: Sequence[Dataset],
    reason_code: Reason,
    reason_detail: str,
    context: ResultContext,
    wanted: Collection[str] = STANDARD,
) -> tuple[EncodedObject, ...]:
    """The SR that says why a series was not analysed, as a file, read back and checked; on a page too, where wanted.

    Raises:
        NodeError: no header names its study and series, or the file does not say what it should.
    """
    with _reported():
        images = identified_images(headers)
        kinds = [kind for kind in sorted(wanted) if kind in REPORTS] or [REPORT]
        reports = [
            to_part10(kind, encode_refusal(headers, reason_code, reason_detail, context, kind)) for kind in kinds
        ]
        for report in reports:
            check_refusal(report, images)
        if not {KEY_IMAGES, PDF} & set(wanted):
            return tuple(reports)
        pages = draw_refusal(images[0], reason_code, context)
        return (*reports, *_encode_pages(pages, images, context, wanted))


@contextmanager
def _reported() -> Iterator[None]:
    """pydicom and highdicom answer a header that they cannot take with many kinds of exceptions."""
    try:
        yield
    except DAMAGED as error:
        what = f"the results cannot be encoded: {type(error).__name__}: {error}"
        raise NodeError(what, where="encoding", advice="look at the headers of the source series") from error
