"""Grayscale Softcopy Presentation State of the findings: outlines and labels that a viewer draws on the source."""

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from dicom_node.encoding.context import ResultContext, tracking_identifier
from dicom_node.encoding.label_places import Box, place_label
from dicom_node.encoding.outlines import Polyline, trace_outlines
from dicom_node.encoding.pages.sheet import AMBER
from dicom_node.encoding.pages.slab import WINDOW_LEVEL_HU, WINDOW_WIDTH_HU
from dicom_node.encoding.references import (
    instance_reference,
    position_key,
    slice_reference,
    slices_of_lesion,
)
from dicom_node.encoding.segmentation import CONTENT_DESCRIPTION, CONTENT_LABEL
from dicom_node.encoding.source_attributes import copy_body_part, stand_in
from dicom_node.encoding.stamp import object_arguments, stamp_result
from dicom_node.errors import NodeError
from dicom_node.frames import list_frames
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import PRESENTATION_STATE
from glianet.findings import Findings

BRIGHTEST = 0xFFFF
"""P-Value of white, for a viewer without colours (PS3.3 C.10.7)."""
UNITS = hd.pr.AnnotationUnitsValues.PIXEL
Rescale = tuple[float, float]


def encode_presentation_state(source: SourceSeries, findings: Findings, context: ResultContext) -> Dataset:
    """The presentation state of all lesions, of which there is at least one (PS3.3 A.33.1, C.11).

    It applies to every image of the source: one window for all, outlines in the slices that hold a lesion, a label
    in the slice of its centre. A lesion has one Tracking UID here, in the SEG and in the SR.

    Raises:
        NodeError: there is no lesion, or the source's slices have several rescalings (see `common_rescale`).
    """
    image = _stand_in_image(source)
    header, results = source.datasets[0], context.results
    number = results.presentation_state_series_number
    layers = _graphic_layers()
    annotations = list(_annotations(source, findings, context, image, layers))
    state = hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        content_label=CONTENT_LABEL,
        content_description=CONTENT_DESCRIPTION,
        graphic_layers=layers,
        graphic_annotations=[annotation for annotation, _ in annotations],
        modality_lut_transformation=_modality_lut(source),
        voi_lut_transformations=[hd.pr.SoftcopyVOILUTTransformation(WINDOW_LEVEL_HU, WINDOW_WIDTH_HU)],
        **object_arguments(context, header, PRESENTATION_STATE, number, results.presentation_state_series_description),
    )
    state.ReferencedSeriesSequence = [_reference_to_series(source)]
    for annotation, reference in annotations:
        annotation["ReferencedImageSequence"].value = [reference]
    _show_in_true_proportions(state, source)
    copy_body_part(header, state)
    stamp_result(state, header, context)
    _move_creation_time(state)
    return state


def common_rescale(source: SourceSeries) -> Rescale | None:
    """Rescale Slope and Intercept of all slices, None where they differ.

    A presentation state has one Modality LUT (PS3.3 C.11.1), which a viewer applies in place of the images' own
    (PS3.4 N.2.1): it cannot be made for a series whose slices are stored on several scales.
    """
    group = "PixelValueTransformationSequence"
    found = {
        (frame.numbers(group, "RescaleSlope", 1), frame.numbers(group, "RescaleIntercept", 1))
        for dataset in source.datasets
        for frame in list_frames(dataset)
    }
    slope, intercept = found.pop()
    return None if found or slope is None or intercept is None else (slope[0], intercept[0])


def _modality_lut(source: SourceSeries) -> hd.ModalityLUTTransformation:
    rescale = common_rescale(source)
    if rescale is None:
        raise NodeError("the slices differ in Rescale Slope or Intercept, or lack them", where="presentation state")
    slope, intercept = rescale
    return hd.ModalityLUTTransformation(
        rescale_intercept=intercept, rescale_slope=slope, rescale_type=hd.RescaleTypeValues.HU
    )


def _stand_in_image(source: SourceSeries) -> Dataset:
    """A CT image with the matrix of the source's slices: what the constructors need of the images referred to."""
    image = stand_in(source.datasets[0])
    image.Rows, image.Columns = source.geometry.planes[0].rows, source.geometry.planes[0].columns
    image.SamplesPerPixel = 1
    return image


def _graphic_layers() -> list[hd.pr.GraphicLayer]:
    """One of outlines, one of labels, so that a viewer can hide either (PS3.3 C.10.7)."""
    colour = hd.color.CIELabColor.from_rgb(*AMBER)
    layers = [
        hd.pr.GraphicLayer("OUTLINES", 1, "Outlines of aneurysm candidates, for research use only", colour),
        hd.pr.GraphicLayer("LABELS", 2, "Numbers of aneurysm candidates, for research use only", colour),
    ]
    for layer in layers:
        layer.GraphicLayerRecommendedDisplayGrayscaleValue = BRIGHTEST
    return layers


def _annotations(
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    image: Dataset,
    layers: list[hd.pr.GraphicLayer],
) -> Iterator[tuple[hd.pr.GraphicAnnotation, Dataset]]:
    """For each slice with a lesion, foot to head: an item for each lesion's outlines, then one for the labels.

    Each with the reference to its slice, which takes the place of the stand-in image's (PS3.3 C.10.5).
    """
    outline_layer, label_layer = layers
    tracking_uids = {
        lesion.number: context.tracking_uid(lesion.number, str(image.SeriesInstanceUID)) for lesion in findings.lesions
    }
    for k in sorted({k for lesion in findings.lesions for k in slices_of_lesion(lesion)}):
        reference, outlines = slice_reference(source, k), _outlines_in_slice(source, findings, k)
        for number, polylines in outlines.items():
            objects = [_graphic_object(polyline, number, tracking_uids[number]) for polyline in polylines]
            yield hd.pr.GraphicAnnotation([image], outline_layer, graphic_objects=objects), reference
        labelled = [lesion.number for lesion in findings.lesions if lesion.centre_index[0] == k]
        if labelled:
            texts = _labels(labelled, outlines, image, tracking_uids)
            yield hd.pr.GraphicAnnotation([image], label_layer, text_objects=texts), reference


def _outlines_in_slice(source: SourceSeries, findings: Findings, k: int) -> dict[int, list[Polyline]]:
    """The outlines of each lesion in slice k, by the lesion's number, in stored columns and rows."""
    stored = source.geometry.to_stored(findings.labels[k])
    numbers = [lesion.number for lesion in findings.lesions if k in slices_of_lesion(lesion)]
    return {number: trace_outlines(stored == number) for number in numbers}


def _graphic_object(polyline: Polyline, number: int, tracking_uid: str) -> hd.pr.GraphicObject:
    return hd.pr.GraphicObject(
        graphic_type=hd.pr.GraphicTypeValues.POLYLINE,
        graphic_data=polyline,
        units=UNITS,
        tracking_id=tracking_identifier(number),
        tracking_uid=tracking_uid,
    )


def _labels(
    numbers: Sequence[int], outlines: dict[int, list[Polyline]], image: Dataset, tracking_uids: dict[int, str]
) -> list[hd.pr.TextObject]:
    """The labels of lesions whose centre lies in one slice; each points to the nearest part of its outline."""
    boxes = {number: _bounds(polylines) for number, polylines in outlines.items()}
    taken, texts = list(boxes.values()), []
    for number in numbers:
        box = place_label(boxes[number], taken, image.Rows, image.Columns)
        taken.append(box)
        text = hd.pr.TextObject(
            text_value=tracking_identifier(number),
            units=UNITS,
            bounding_box=box,
            anchor_point=_nearest_point(outlines[number], box),
            text_justification=hd.pr.TextJustificationValues.LEFT,
            tracking_id=tracking_identifier(number),
            tracking_uid=tracking_uids[number],
        )
        texts.append(text)
    return texts


def _bounds(polylines: Sequence[Polyline]) -> Box:
    points = np.concatenate(polylines)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right, bottom


def _nearest_point(polylines: Sequence[Polyline], box: Box) -> tuple[float, float]:
    """The corner, or middle of a side, of an outline that lies nearest to the middle of a label: (column, row)."""
    corners = np.concatenate(polylines)
    middles = np.concatenate([(polyline[1:] + polyline[:-1]) / 2 for polyline in polylines])
    points = np.concatenate([middles, corners])
    to_label = points - [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    column, row = points[np.argmin(np.linalg.norm(to_label, axis=1))].tolist()
    return column, row


def _reference_to_series(source: SourceSeries) -> Dataset:
    """All images of the source; of a multi-frame one, all frames (PS3.3 C.11.11)."""
    series = Dataset()
    series.SeriesInstanceUID = source.datasets[0].SeriesInstanceUID
    series.ReferencedImageSequence = [instance_reference(image) for image in source.datasets]
    return series


def _show_in_true_proportions(state: Dataset, source: SourceSeries) -> None:
    """The whole image, as wide and high as its pixels are (PS3.3 C.10.4).

    highdicom states square pixels, and an origin that only images of a total pixel matrix have.
    """
    (area,) = state.DisplayedAreaSelectionSequence
    del area.PixelOriginInterpretation
    del area.PresentationPixelAspectRatio
    area.PresentationPixelSpacing = position_key(source.geometry.planes[0].pixel_spacing)


def _move_creation_time(state: Dataset) -> None:
    """A presentation state says when it was made in attributes of its own (PS3.3 C.11.10)."""
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate
    del state.ContentTime
