"""The risk map as a DICOM object: a Parametric Map, or a FRACTIONAL Segmentation for viewers that know no such maps.

What the network calls risk is a score of a region, and not calibrated; the quantity bears a private code that says so.
"""

from typing import Any

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node import codes
from dicom_node.encoding.coarse_grid import CoarseGrid, coarse_grid
from dicom_node.encoding.context import MANUFACTURER, ResultContext
from dicom_node.encoding.parameters import algorithm_parameters
from dicom_node.encoding.references import refer_to_series
from dicom_node.encoding.segments import derive_dimension_uid, stand_in_slice
from dicom_node.encoding.source_attributes import copy_body_part
from dicom_node.encoding.stamp import object_arguments, stamp_result
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import RISK_MAP, RISK_MAP_AS_SEGMENTATION
from glianet.findings import Findings
from glianet.score_files import HIGHEST
from glianet.scores import RiskGrid

CONTENT_LABEL = "RISK_MAP"  # CS
CONTENT_DESCRIPTION = "Network regional scores - for research use only"  # LO
SEGMENT_LABEL = "Network regional score"  # LO
EXPLANATION = "Network regional score, 0 to 1, not a probability"  # LO
RED = hd.color.CIELabColor(53.0, 80.0, 67.0)


def encode_risk_map(
    source: SourceSeries,
    findings: Findings,
    risk: RiskGrid,
    context: ResultContext,
    *,
    as_segmentation: bool = False,
) -> Dataset:
    """The mean risk of the patches that cover a place, on a grid of about 4 mm (`coarse_grid`), of the whole volume.

    A Parametric Map of float32 (PS3.3 A.75), or with `as_segmentation` a Segmentation with one segment whose fractions
    are the risks, 255 = 1.0. Frames go from foot to head, rows to the back, columns to the left, along the axes of the
    findings' grid, in the source's frame of reference. The two are objects of two series.

    Raises:
        NodeError: the findings are not of the source's grid.
    """
    if findings.labels.shape != source.geometry.shape:
        raise NodeError("the findings are not on the grid of the source", where="risk map")
    grid = coarse_grid(findings.labels.shape, findings.affine)
    values = np.clip(risk.to_grid(grid.indices), 0, 1).astype(np.float32)
    header = source.datasets[0]
    kind = RISK_MAP_AS_SEGMENTATION if as_segmentation else RISK_MAP
    arguments = _common_arguments(source, grid, kind, context)
    result = _segmentation(values, findings, arguments) if as_segmentation else _map(values, arguments)
    _order_frames(result, grid)
    refer_to_series(result, source.datasets)
    result.CodingSchemeIdentificationSequence = [codes.private_coding_scheme()]
    series_uid = str(header.SeriesInstanceUID)
    derive_dimension_uid(result, context.result_uid(kind, "dimensions", series_uid))
    copy_body_part(header, result)
    stamp_result(result, header, context)
    return result


def _common_arguments(
    source: SourceSeries, grid: CoarseGrid, kind: str, context: ResultContext
) -> dict[str, Any]:
    results = context.results
    number, description = results.risk_map_series_number, results.risk_map_series_description
    return {
        "source_images": [stand_in_slice(source, source.geometry.planes[0])],
        "pixel_measures": grid.measures,
        "plane_orientation": grid.orientation,
        "plane_positions": grid.positions,
        "content_label": CONTENT_LABEL,
        "content_description": CONTENT_DESCRIPTION,
        **object_arguments(context, source.datasets[0], kind, number, description),
    }


def _map(values: NDArray[np.float32], arguments: dict[str, Any]) -> Dataset:
    """values: (slices, rows, columns) float32, 0 to 1: the stored values are the real ones (PS3.3 C.7.6.16.2.11)."""
    identity = hd.pm.RealWorldValueMapping(
        lut_label="RISK",
        lut_explanation=EXPLANATION,
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.RISK_MAP,
    )
    result = hd.pm.ParametricMap(
        pixel_array=values,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[identity],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        **arguments,
    )
    result.ContentCreatorName = ""  # type 2
    anatomy = Dataset()  # PS3.3 C.7.6.16.2.8
    anatomy.FrameLaterality = "U"
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(codes.HEAD)]
    result.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    return result


def _segmentation(values: NDArray[np.float32], findings: Findings, arguments: dict[str, Any]) -> Dataset:
    return hd.seg.Segmentation(
        pixel_array=values[..., np.newaxis],
        segmentation_type=hd.seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=hd.seg.SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=HIGHEST,
        segment_descriptions=[_describe_segment(findings)],
        omit_empty_frames=False,
        **arguments,
    )


def _order_frames(result: Dataset, grid: CoarseGrid) -> None:
    """Put the frames in the order of the slices, along the normal of their rows and columns.

    highdicom writes them from head to foot. Programs that stack frames by their numbers alone, such as dcmqi, take
    them for slices along the normal and would turn the map upside down.
    """
    keyword = "FloatPixelData" if "FloatPixelData" in result else "PixelData"
    size = result.Rows * result.Columns * result.BitsAllocated // 8
    groups = list(result.PerFrameFunctionalGroupsSequence)
    places = [[float(value) for value in item.PlanePositionSequence[0].ImagePositionPatient] for item in groups]
    order = np.argsort(np.array(places) @ grid.affine[:3, 0])
    stored = result[keyword].value
    content = b"".join(stored[frame * size : (frame + 1) * size] for frame in order)
    for number, frame in enumerate(order, start=1):
        item = groups[frame].FrameContentSequence[0]
        item.DimensionIndexValues = [*np.atleast_1d(item.DimensionIndexValues)[:-1].tolist(), number]
    result.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in order]
    result[keyword].value = content + bytes(len(content) % 2)


def _describe_segment(findings: Findings) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=SEGMENT_LABEL,
        segmented_property_category=codes.SPATIAL_CONCEPT,
        segmented_property_type=codes.RISK_MAP,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=findings.algorithm_name,
            version=findings.algorithm_version,
            family=codes.ARTIFICIAL_INTELLIGENCE,
            source=MANUFACTURER,
            parameters=algorithm_parameters(findings),
        ),
        display_color=RED,
    )
