"""Self-check, second part: does the SEG hold the mask that was found, at its place in the patient?"""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.encoding.check_identity import require
from dicom_node.encoding.source_frames import SourceFrame, source_frames
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

WHERE = "SEG"
POSITION_TOLERANCE_MM = 1e-3  # Decimal Strings hold 1e-6 mm or better
DIRECTION_TOLERANCE = 1e-5  # of a direction cosine; 0.005 mm over 512 voxels of 1 mm
INDEX_TOLERANCE = 0.02  # voxels; what position and direction tolerance can add up to over a slice


def check_segmentation(segmentation: Dataset, source: SourceSeries, findings: Findings) -> dict[int, int]:
    """Number of voxels of each segment, once references, geometry and mask are right.

    Raises:
        NodeError: naming the first thing that is wrong.
    """
    header = source.datasets[0]
    same = segmentation.get("FrameOfReferenceUID") == header.get("FrameOfReferenceUID")
    require(same, "the frame of reference is not the source's", WHERE)
    require(segmentation.get("SegmentationType") == "BINARY", "the segmentation is not BINARY", WHERE)
    _check_segments(segmentation, findings)
    _check_series_reference(segmentation, source)
    frames = {frame.key: frame for frame in source_frames(source.datasets)}
    masks = _unpack(segmentation)
    rebuilt = np.zeros(findings.labels.shape, dtype=findings.labels.dtype)
    voxels: Counter[int] = Counter()
    for mask, groups in zip(masks, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        _check_frame(segmentation, groups, frames)
        number = _segment_number(segmentation, groups)
        indices = _canonical_indices(segmentation, groups, mask, findings)
        require(not rebuilt[indices].any(), "two segments share a voxel", WHERE)
        rebuilt[indices] = number
        voxels[number] += int(mask.sum())
    pairs = zip(rebuilt, findings.labels, strict=True)
    differing = sum(int(np.count_nonzero(ours != found)) for ours, found in pairs)
    require(differing == 0, f"{differing} voxels differ from the mask that was found", WHERE)
    return dict(voxels)


def _check_segments(segmentation: Dataset, findings: Findings) -> None:
    numbers = [int(item.SegmentNumber) for item in segmentation.SegmentSequence]
    expected = [lesion.number for lesion in findings.lesions]
    require(numbers == expected, f"the segments are {numbers}, the lesions {expected}", WHERE)
    tracking = [item.get("TrackingUID") for item in segmentation.SegmentSequence]
    require(len(set(tracking)) == len(tracking) and all(tracking), "tracking UIDs repeat or lack", WHERE)


def _check_series_reference(segmentation: Dataset, source: SourceSeries) -> None:
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


def _unpack(segmentation: Dataset) -> npt.NDArray[np.uint8]:
    """(frames, rows, columns) of 0 and 1 from the packed bits (PS3.5 section 8.1.1, annex D.1)."""
    shape = int(segmentation.NumberOfFrames), int(segmentation.Rows), int(segmentation.Columns)
    count = shape[0] * shape[1] * shape[2]
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, dtype=np.uint8), bitorder="little")
    require(len(bits) >= count, "the pixel data are shorter than the frames need", WHERE)
    return bits[:count].reshape(shape)


def _check_frame(segmentation: Dataset, groups: Dataset, frames: dict[Any, SourceFrame]) -> None:
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


def _segment_number(segmentation: Dataset, groups: Dataset) -> int:
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    item = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
    return int(item[0].ReferencedSegmentNumber)


def _canonical_indices(
    segmentation: Dataset, groups: Dataset, mask: npt.NDArray[np.uint8], findings: Findings
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
