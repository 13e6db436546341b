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
)
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.parts import Encoded, Parts
from dicom_node.encoding.presentation_state import common_rescale, encode_presentation_state
from dicom_node.encoding.probability_map import encode_probability
from dicom_node.encoding.report import encode_refusal, encode_report
from dicom_node.encoding.risk_map import encode_risk_map
from dicom_node.encoding.segmentation import encode_segmentations, has_room_for_empty_frames
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

__all__ = ["Encoded", "EncodedObject", "Maps", "encode_refusal_results", "encode_results"]

STANDARD = frozenset((SEGMENTATION, REPORT))
GRID_TOLERANCE = 1e-6
"""mm, and mm a voxel: both are computed from the same headers."""
TOO_MANY_FRAMES = "a frame for every slice and candidate would be too much: it has those that hold a candidate"
NOT_KEPT = "what it is made of was not kept by the analysis"


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
    leave_out: bool = False,
) -> Encoded:
    """The results of `findings` as files, read back and checked.

    A Segmentation comes with a report that refers to it, and a report with its Segmentation; where there is no lesion
    there are reports, pages of words and a risk map alone.

    wanted: names of `result_kinds`. maps: a map that was not kept gives no object. leave_out: a kind that fails is
    left out, with a page of words in place of pictures, and does not keep the others from being made. The same
    arguments give the same bytes.

    Raises:
        NodeError: the findings do not fit the source, or what was written does not say what was found; with
            `leave_out`, where that is so of all kinds.
    """
    parts, kinds = Parts(leave_out=leave_out), frozenset(wanted)
    with _reported():
        _check_fit(source, findings)
        for form in _forms(kinds):
            _encode_form(parts, source, findings, context, form, kinds)
        _encode_pictures(parts, source, findings, context, kinds & {KEY_IMAGES, PDF})
        if findings.lesions:
            _encode_presentation_state(parts, source, findings, context, kinds)
            _encode_scores(parts, source, findings, context, kinds, maps or Maps())
        _encode_risk_maps(parts, source, findings, context, kinds, maps or Maps())
        return parts.gathered()


def _check_fit(source: SourceSeries, findings: Findings) -> None:
    """The findings must be of this very grid: the spool is read anew for the results."""
    grid, analysed = source.geometry, findings.labels.shape
    if grid.shape != analysed or not np.allclose(grid.affine, findings.affine, rtol=0, atol=GRID_TOLERANCE):
        what = f"the findings are of another grid ({analysed} voxels) than the source ({grid.shape})"
        raise NodeError(what, where="encoding", advice="have the series analysed anew: dicom-node reanalyse")


def _forms(wanted: frozenset[str]) -> list[SegmentationForm]:
    """Forms of Segmentations that are wanted, or that a wanted report refers to."""
    named = [SEGMENTATIONS[kind] for kind in sorted(wanted) if kind in SEGMENTATIONS]
    referred_to = [REPORTS[kind][0] for kind in sorted(wanted) if kind in REPORTS]
    return list(dict.fromkeys(named + referred_to)) or [SegmentationForm()]


def _encode_form(
    parts: Parts,
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    form: SegmentationForm,
    wanted: frozenset[str],
) -> None:
    """The Segmentations of a form and the wanted reports that refer to them, at least one."""
    kinds = [kind for kind in sorted(wanted) if kind in REPORTS and REPORTS[kind][0] == form]
    kinds = kinds or [report_kind(form, "comprehensive-3d")]
    with parts.attempt([form.result_kind, *kinds]):
        segmentations = encode_segmentations(source, findings, context, form) if findings.lesions else []
        objects = [to_part10(one.role, one.dataset, form.result_kind) for one in segmentations]
        reports = []
        for kind in kinds:
            with parts.attempt([kind]):
                report = to_part10(kind, encode_report(source, findings, segmentations, context, kind))
                check_results([*objects, report], source, findings)
                reports.append(report)
        if not reports:  # those that are wanted fail, and a Segmentation is checked against a report
            kind = report_kind(form, "comprehensive-3d")
            report = to_part10(kind, encode_report(source, findings, segmentations, context, kind))
            check_results([*objects, report], source, findings)
        parts.add(*objects, *reports)
        if form.empty_frames and not has_room_for_empty_frames(source, findings, form):
            parts.note([form.result_kind], TOO_MANY_FRAMES)


def _encode_pictures(
    parts: Parts, source: SourceSeries, findings: Findings, context: ResultContext, kinds: frozenset[str]
) -> None:
    """Pages with pictures, or with words where nothing was found or pictures fail."""
    if not kinds:
        return
    with parts.attempt(kinds):
        if findings.lesions:
            drawn = draw_findings(source, findings, read_volume(source), context)
        else:
            drawn = draw_nothing_found(source, context)
        for kind in sorted(kinds):
            with parts.attempt([kind]):
                pages = _encode_pages(drawn, source.datasets, context, kind)
                if kind == KEY_IMAGES:
                    check_key_images(pages, source, findings)
                parts.add(*pages)
    for kind in parts.lacking(sorted(kinds)):
        with parts.attempt([kind]):
            parts.add(*_encode_pages(draw_pictures_missing(source, findings, context), source.datasets, context, kind))


def _encode_pages(
    drawn: Pages, sources: Sequence[Dataset], context: ResultContext, kind: str
) -> list[EncodedObject]:
    """Pages as images, or as a document; what every page must be is checked."""
    if kind == KEY_IMAGES:
        images = encode_key_images(drawn, context)
        pages = [to_part10(drawn.role(number), page, kind) for number, page in enumerate(images, start=1)]
        with complete("key images"):
            check_pages(pages, sources)
        return pages
    pictures = [picture for picture, _ in drawn.pages]
    shown = [reference for _, references in drawn.pages for reference in references]
    dataset = encode_pdf(
        pictures, drawn.header, context, analysed=drawn.analysed, references=shown, role=drawn.document_role
    )
    document = to_part10(drawn.document_role, dataset, PDF)
    with complete("document"):
        check_pdf(document, sources, len(drawn.pages))
    return [document]


def _encode_presentation_state(
    parts: Parts, source: SourceSeries, findings: Findings, context: ResultContext, wanted: frozenset[str]
) -> None:
    if PRESENTATION_STATE not in wanted:
        return
    with parts.attempt([PRESENTATION_STATE]):
        if common_rescale(source) is None:
            parts.note([PRESENTATION_STATE], "the slices are stored on several scales, a presentation state has one")
            return
        state = to_part10(PRESENTATION_STATE, encode_presentation_state(source, findings, context))
        with complete("presentation state"):
            check_presentation_state(state, source, findings)
        parts.add(state)


def _encode_scores(
    parts: Parts,
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    wanted: frozenset[str],
    maps: Maps,
) -> None:
    if PROBABILITY not in wanted:
        return
    with parts.attempt([PROBABILITY]):
        if maps.scores is None:
            parts.note([PROBABILITY], NOT_KEPT)
            return
        scores = to_part10(PROBABILITY, encode_probability(source, findings, maps.scores, context))
        series_uid = str(source.datasets[0].SeriesInstanceUID)
        tracking = [context.tracking_uid(lesion.number, series_uid) for lesion in findings.lesions]
        with complete("scores"):
            check_probability(scores, source, findings, maps.scores, tracking)
        parts.add(scores)


def _encode_risk_maps(
    parts: Parts,
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    wanted: frozenset[str],
    maps: Maps,
) -> None:
    for kind in sorted(wanted & {RISK_MAP, RISK_MAP_AS_SEGMENTATION}):
        with parts.attempt([kind]):
            if maps.risk is None:
                parts.note([kind], NOT_KEPT)
                continue
            as_segmentation = kind == RISK_MAP_AS_SEGMENTATION
            dataset = encode_risk_map(source, findings, maps.risk, context, as_segmentation=as_segmentation)
            risk = to_part10(kind, dataset)
            with complete("risk map"):
                check_risk_map(risk, source, findings, maps.risk)
            parts.add(risk)


def encode_refusal_results(
    headers: Sequence[Dataset],
    reason_code: Reason,
    reason_detail: str,
    context: ResultContext,
    wanted: Collection[str] = STANDARD,
    *,
    leave_out: bool = False,
) -> Encoded:
    """The SR that says why a series was not analysed, as a file, read back and checked; on a page too, where wanted.

    Raises:
        NodeError: no header names its study and series, or the file does not say what it should; with `leave_out`,
            where that is so of all kinds.
    """
    parts = Parts(leave_out=leave_out)
    with _reported():
        images = identified_images(headers)
        for kind in sorted(set(wanted) & set(REPORTS)) or [REPORT]:
            with parts.attempt([kind]):
                report = to_part10(kind, encode_refusal(headers, reason_code, reason_detail, context, kind))
                check_refusal(report, images)
                parts.add(report)
        for kind in sorted({KEY_IMAGES, PDF} & set(wanted)):
            with parts.attempt([kind]):
                parts.add(*_encode_pages(draw_refusal(images[0], reason_code, context), images, context, kind))
        return parts.gathered()


@contextmanager
def _reported() -> Iterator[None]:
    """pydicom and highdicom answer a header that they cannot take with many kinds of exceptions."""
    try:
        yield
    except DAMAGED as error:
        what = f"the results cannot be encoded: {type(error).__name__}: {error}"
        raise NodeError(what, where="encoding", advice="look at the headers of the source series") from error
