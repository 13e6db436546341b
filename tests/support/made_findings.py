"""Findings with lesions at chosen places of a source series, for tests of what is made from them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
from pydicom import Dataset

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.segmentation import encode_segmentations
from dicom_node.read_series import SourceSeries, inspect_series
from dicom_node.settings import AssemblySettings, ResultsSettings, SelectionSettings
from glianet.findings import Findings, Lesion
from tests.support.ct_source import CtSource, write_ct

WEIGHTS = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
ANY_CT = SelectionSettings(
    minimum_slices=2, maximum_slice_spacing_mm=5.0, maximum_axial_angle_degrees=45.0, refused_image_types=()
)
WITH_KEY_IMAGES = frozenset(("seg", "sr", "key-image"))
Block = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def read_source(folder: Path, wanted: CtSource) -> SourceSeries:
    """Write the series and read it as the node does."""
    headers = read_headers(write_ct(folder, wanted))
    return inspect_series(headers, ANY_CT, AssemblySettings(), conflicting=False)


def make_findings(source: SourceSeries, blocks: Iterable[Block]) -> Findings:
    """Findings whose lesions are blocks of voxels, half-open ranges (k, j, i), each with a corner cut off.

    The missing corner (first k, first j, first i) makes every mirrored or turned mask differ from this one.
    """
    labels = np.zeros(source.geometry.shape, np.uint16)
    lesions = []
    for number, block in enumerate(blocks, start=1):
        box = tuple(slice(*ends) for ends in block)
        labels[box] = number
        labels[tuple(ends[0] for ends in block)] = 0
        lesions.append(_lesion(source, labels, number, block))
    return Findings(
        labels=labels,
        affine=source.geometry.affine,
        lesions=tuple(lesions),
        threshold=0.5,
        detection_threshold=0.75,
        minimum_volume_mm3=5.0,
        minimum_voxels=11,
        step=48,
        exact=False,
        weights_sha256=WEIGHTS,
        algorithm_name="GLIA-Net",
        algorithm_version="0.1.0",
        patches_computed=12,
        patches_skipped=3,
    )


def _lesion(source: SourceSeries, labels: np.ndarray, number: int, block: Block) -> Lesion:
    voxels = int((labels == number).sum())
    affine = source.geometry.affine
    centre = tuple((first + last) // 2 for first, last in block)
    size_mm = np.array([last - first for first, last in block]) * np.linalg.norm(affine[:3, :3], axis=0)
    x, y, z = (affine @ (*centre, 1))[:3]
    return Lesion(
        number=number,
        voxels=voxels,
        volume_mm3=voxels * abs(float(np.linalg.det(affine[:3, :3]))),
        maximum_diameter_mm=float(np.linalg.norm(size_mm)),
        centre_index=(centre[0], centre[1], centre[2]),
        centre_lps_mm=(float(x), float(y), float(z)),
        bounding_box=block,
        mean_score=0.71,
        maximum_score=0.934,
        risk=0.805,
    )


def make_context(**changes: object) -> ResultContext:
    """A context of a fixed moment: 15 January 2026, 10:20:30 UTC."""
    context = ResultContext(
        concluded_at=datetime(2026, 1, 15, 10, 20, 30, 123456, tzinfo=UTC),
        fingerprint="fingerprint",
        algorithm_name="GLIA-Net",
        algorithm_version="0.1.0",
        weights_sha256=WEIGHTS,
        results=ResultsSettings(),
        node_ae_title="GLIANET",
        instances_digest="digest",
    )
    return replace(context, **changes)  # type: ignore[arg-type]


def encode_segmentation(source: SourceSeries, findings: Findings, context: ResultContext) -> Dataset:
    """The one SEG of all lesions."""
    (encoded,) = encode_segmentations(source, findings, context)
    return encoded.dataset


def many_blocks(source: SourceSeries, count: int) -> list[Block]:
    """`count` small blocks that do not touch, spread over the volume."""
    depth, height, width = source.geometry.shape
    ranges = range(1, depth - 3, 4), range(1, height - 3, 6), range(1, width - 3, 6)
    places = list(product(*ranges))
    assert len(places) >= count
    return [((k, k + 2), (j, j + 3), (i, i + 2)) for k, j, i in places[:: len(places) // count][:count]]
