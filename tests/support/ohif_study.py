"""A small head CT whose pictures tell where each of their pixels comes from, with results encoded by the node."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from dicom_node.demo.write_series import write_series
from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import EncodedObject, encode_results
from dicom_node.read_series import inspect_series
from dicom_node.settings import AssemblySettings
from glianet.findings import Findings
from tests.support.made_findings import ANY_CT, Block, make_context, make_findings

SHAPE = (28, 120, 144)  # slices, rows, columns
SPACING_MM = (1.5, 1.25, 1.25)
ORIGIN_MM = (-90.0, -75.0, 20.0)  # LPS of voxel (0, 0, 0)
ACQUIRED = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
AIR, BONE, BRAIN, VESSEL, MARKER = -1000, 900, 35, 320, 2000  # HU

MARKERS = {4: (8, 30), 6: (10, 120), 8: (104, 22), 10: (106, 112)}
"""Edge in voxels -> first row and column of a square that every slice shows beside the head: known by its size."""
SLICE_MARKER_EDGE, SLICE_MARKER_ROW, SLICE_MARKER_COLUMN = 12, 54, 13
"""One square more, at the left: one row lower in each slice."""
BLOCKS: tuple[Block, ...] = (
    ((4, 9), (42, 54), (44, 52)),
    ((12, 18), (70, 78), (60, 74)),
    ((15, 20), (38, 45), (86, 97)),
)


@dataclass(frozen=True, eq=False)
class ViewerStudy:
    """A CT series on disk, what was found in it, and the node's SEG, SR and key images."""

    ct_files: tuple[Path, ...]
    findings: Findings
    results: tuple[EncodedObject, ...]
    study_instance_uid: str

    def slice_uid(self, k: int) -> str:
        """The SOP Instance UID of slice `k`, from 0 at the foot."""
        return str(dcmread(self.ct_files[k], stop_before_pixels=True).SOPInstanceUID)

    def hounsfield(self) -> NDArray[np.int16]:
        """(D, H, W) int16 HU, in stored order, foot to head."""
        read = [dcmread(file) for file in self.ct_files]
        values = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in read]
        return np.stack(values).astype(np.int16)

    def of_kind(self, kind: str) -> list[EncodedObject]:
        """The results of one kind, in their order."""
        return [one for one in self.results if one.kind == kind]


def make_viewer_study(folder: Path, name: str, kinds: Collection[str]) -> ViewerStudy:
    """Write the CT into `folder` and encode the results of three lesions.

    name: decides the UIDs. kinds: of results, by the names of dicom_node.result_kinds.
    """
    files = write_series(folder, head_with_markers(), grid_affine(), seed=name, acquired=ACQUIRED)
    source = inspect_series(read_headers(files), ANY_CT, AssemblySettings(), conflicting=False)
    findings = make_findings(source, BLOCKS)
    results = encode_results(source, findings, make_context(), kinds).objects
    return ViewerStudy(files, findings, results, str(source.datasets[0].StudyInstanceUID))


def grid_affine() -> NDArray[np.float64]:
    """(4, 4) index (k, j, i, 1) to LPS mm: k to the head, j to the back, i to the left."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag(SPACING_MM)[::-1]
    affine[:3, 3] = ORIGIN_MM
    return affine


def head_with_markers() -> NDArray[np.int16]:
    """(D, H, W) int16 HU: a skull, a brain, three vessels each with a widening, and the markers in air."""
    k, j, i = np.indices(SHAPE, np.float32)
    hu = np.full(SHAPE, AIR, np.int16)
    radius = np.hypot((j - 60) / 42, (i - 73) / 42)
    hu[radius < 1] = BONE
    hu[radius < 0.92] = BRAIN
    for block in BLOCKS:
        z, y, x = ((first + last - 1) / 2 for first, last in block)
        path = np.hypot(j - y - 6 * np.sin((k - z) / 5), i - x - 6 * np.cos((k - z) / 5) + 6)
        hu[path < 2] = VESSEL
        half = [(last - first) / 2 for first, last in block]
        hu[((k - z) / half[0]) ** 2 + ((j - y) / half[1]) ** 2 + ((i - x) / half[2]) ** 2 < 1] = VESSEL
    for edge, (row, column) in MARKERS.items():
        hu[:, row : row + edge, column : column + edge] = MARKER
    for index, row in enumerate(slice_marker_rows()):
        hu[index, row : row + SLICE_MARKER_EDGE, SLICE_MARKER_COLUMN : SLICE_MARKER_COLUMN + SLICE_MARKER_EDGE] = MARKER
    return hu


def slice_marker_rows() -> range:
    """For each slice the first row of the marker that tells slices apart."""
    first = SLICE_MARKER_ROW - SHAPE[0] // 2
    return range(first, first + SHAPE[0])
