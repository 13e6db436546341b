"""Self-check: the frames of a Segmentation by themselves, their pixels, and where they lie in the patient."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.encoding.check_identity import require
from dicom_node.encoding.source_frames import SourceFrame
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

WHERE = "SEG"
POSITION_TOLERANCE_MM = 1e-3  # Decimal Strings hold 1e-6 mm or better
DIRECTION_TOLERANCE = 1e-5  # of a direction cosine; 0.005 mm over 512 voxels of 1 mm
INDEX_TOLERANCE = 0.02  # voxels; what position and direction tolerance can add up to over a slice


def check_series_reference(segmentation: Dataset, source: SourceSeries) -> None:
    series = segmentation.get("ReferencedSeriesSequence") or []
    uids = [str(item.SeriesInstanceUID) for item in series]
    require(uids == [str(source.datasets[0].SeriesInstanceUID)], f"it refers to the series {uids}", WHERE)
    known = {(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in source.datasets}
    named = {_reference(item) for item in series[0].ReferencedInstanceSequence}
    listed = {_reference(item) for item in segmentation.SourceImageSequence}
    proper = named and named <= known and listed <= known
    require(proper, "it names images that are not the source's", WHERE)
    used = {
        _reference(image)
        for groups in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in groups.DerivationImageSequence
        for image in derivation.SourceImageSequence
    }
    require(used <= named, "a frame refers to an image that Referenced Series Sequence does not name", WHERE)


def _reference(item: Dataset) -> tuple[str, str]:
    return str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)


def stored_pixels(segmentation: Dataset) -> Iterator[npt.NDArray[np.unsignedinteger]]:
    """Each frame, (rows, columns): bits (PS3.5 section 8.1.1, annex D.1), or the numbers of a label map.

    One frame is unpacked at a time. Raises NodeError where the bytes are not as many as the frames need.
    """
    count, size = int(segmentation.NumberOfFrames), int(segmentation.Rows) * int(segmentation.Columns)
    bits, data = int(segmentation.BitsAllocated), segmentation.PixelData
    require(8 * len(data) >= count * size * bits, "the pixel data are shorter than the frames need", WHERE)
    for first in range(0, count * size, size):
        yield _pixels(data, first, size, bits).reshape(int(segmentation.Rows), int(segmentation.Columns))


def _pixels(data: bytes, first: int, size: int, bits: int) -> npt.NDArray[np.unsignedinteger]:
    """`size` pixels of `bits` bits from pixel `first` on; a frame of single bits may begin within a byte."""
    if bits == 1:
        packed = np.frombuffer(data, np.uint8, (first + size + 7) // 8 - first // 8, first // 8)
        return np.unpackbits(packed, bitorder="little")[first % 8 :][:size]
    return np.frombuffer(data, np.dtype(f"<u{bits // 8}"), size, first * bits // 8)


def check_frame(segmentation: Dataset, groups: Dataset, frames: dict[Any, SourceFrame]) -> None:
    """A frame must lie exactly on the source image, or frame of it, that it refers to."""
    image = groups.DerivationImageSequence[0].SourceImageSequence[0]
    number = image.get("ReferencedFrameNumber")
    key = (str(image.ReferencedSOPInstanceUID), None if number is None else int(number))
    require(key in frames, f"a frame refers to {key}, which is not the source's", WHERE)
    frame, position, directions, spacing = frames[key], *_plane(segmentation, groups)
    near = np.allclose(position, frame.position, rtol=0, atol=POSITION_TOLERANCE_MM)
    require(near, f"a frame lies at {position}, its source image at {frame.position}", WHERE)
    parallel = np.allclose(directions, frame.directions, rtol=0, atol=DIRECTION_TOLERANCE)
    require(parallel, "the orientation of a frame is not its source image's", WHERE)
    require(np.allclose(spacing, frame.spacing, rtol=1e-5), "the pixel spacing is not the source's", WHERE)
    matrix = int(segmentation.Rows), int(segmentation.Columns)
    require(matrix == frame.matrix, f"the matrix is {matrix}, the source's {frame.matrix}", WHERE)


def _plane(segmentation: Dataset, groups: Dataset) -> tuple[npt.NDArray[np.float64], ...]:
    """Position (3,) mm, row and column direction (2, 3), spacing (2,) mm of a frame."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    orientation = (groups.get("PlaneOrientationSequence") or shared.PlaneOrientationSequence)[0]
    measures = (groups.get("PixelMeasuresSequence") or shared.PixelMeasuresSequence)[0]
    position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    directions = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    return position, directions, np.array(measures.PixelSpacing, dtype=np.float64)


def segment_number(segmentation: Dataset, groups: Dataset) -> int:
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    item = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
    return int(item[0].ReferencedSegmentNumber)


def canonical_indices(
    segmentation: Dataset, groups: Dataset, mask: npt.NDArray[np.bool_], findings: Findings
) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices (k, j, i) of the set voxels of a frame, from where its header says that they lie."""
    position, directions, spacing = _plane(segmentation, groups)
    rows, columns = np.nonzero(mask)
    along_row = columns[:, None] * spacing[1] * directions[0]
    along_column = rows[:, None] * spacing[0] * directions[1]
    points = np.c_[position + along_row + along_column, np.ones(len(rows))]
    exact = (points @ np.linalg.inv(findings.affine).T)[:, :3]
    indices = np.rint(exact).astype(np.int64)
    on_grid = bool((np.abs(exact - indices) <= INDEX_TOLERANCE).all())
    require(on_grid, "a frame does not lie on the voxels of the volume that was analysed", WHERE)
    inside = bool(((indices >= 0) & (indices < findings.labels.shape)).all())
    require(inside, "a frame lies outside the volume that was analysed", WHERE)
    return tuple(indices.T)
