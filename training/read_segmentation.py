"""A DICOM Segmentation as a mask on the grid of the series that it belongs to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.manifest import CasesError
from training.series_identity import SEGMENTATION_CLASSES, SeriesIdentity

FRACTION = 0.5
"""A voxel of a fractional segmentation belongs to it from here on."""

OFF_GRID_VOXELS = 0.1
"""How far a corner of a frame may lie from a voxel of the series: programs that compute positions anew lose hundredths
of a voxel, another reconstruction or a resampled mask is further off."""


def read_segmentation(
    path: Path,
    series: SeriesIdentity,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    segments: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """The union of its segments: (D, H, W) uint8, 1 inside, on the grid of the series.

    affine: (4, 4), index (k, j, i, 1) to LPS mm. segments: the numbers of those that count; None: all, if they are of
    one property type. Binary, fractional (from 0.5 on) and label map. Frames are placed by their own position and
    orientation, whatever their order; slices without a frame are empty.

    Raises CasesError where it is of another patient, series or frame of reference, does not lie on the grid, or holds
    different kinds of segments and none are named. Raises OSError.
    """
    import highdicom
    from pydicom.errors import InvalidDicomError

    unusable = (ValueError, AttributeError, LookupError, TypeError, RuntimeError, EOFError, InvalidDicomError)
    try:
        found = highdicom.seg.segread(path)
        _check_reference(found, series)
        numbers = _chosen(found, segments)
        return _painted(found, numbers, np.linalg.inv(affine).astype(np.float64), shape)
    except unusable as problem:
        raise CasesError(path, [f"it cannot be used as a segmentation: {problem}"]) from problem


def _check_reference(found: Any, series: SeriesIdentity) -> None:
    if found.SOPClassUID not in SEGMENTATION_CLASSES:
        raise ValueError("it is no DICOM Segmentation")
    if str(found.get("PatientID") or "").strip() != series.patient_id:
        raise ValueError("it is of another patient than the series")
    frame = str(found.get("FrameOfReferenceUID") or "").strip()
    if not frame or frame != series.frame_of_reference_uid:
        raise ValueError("it lies in another frame of reference than the series")
    named = referenced_series(found)
    if named and series.series_instance_uid not in named:
        raise ValueError("it was drawn on another series; give the one that it refers to")


def referenced_series(header: Any) -> set[str]:
    """The Series Instance UIDs of its Referenced Series Sequence."""
    return {str(item.get("SeriesInstanceUID")) for item in header.get("ReferencedSeriesSequence") or ()}


def _chosen(found: Any, segments: Sequence[int] | None) -> set[int]:
    kinds = {int(item.SegmentNumber): _kind(item) for item in found.SegmentSequence if int(item.SegmentNumber)}
    listed = "; ".join(f"{number}: {kind}" for number, kind in kinds.items())
    if segments is None:
        if len(set(kinds.values())) > 1:
            raise ValueError(f"it has segments of different kinds ({listed}); name those that are aneurysms")
        return set(kinds)
    missing = sorted(set(segments) - set(kinds))
    if missing:
        raise ValueError(f"it has no segment {', '.join(map(str, missing))}; it has {listed}")
    return set(segments)


def _kind(item: Any) -> str:
    """The meaning of its property type, which is one of a vocabulary and tells nothing of the patient."""
    return str(item.SegmentedPropertyTypeCodeSequence[0].get("CodeMeaning"))


def _painted(
    found: Any, numbers: set[int], inverse: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    slices = set()
    for number, groups in enumerate(found.PerFrameFunctionalGroupsSequence, start=1):
        if found.SegmentationType != "LABELMAP" and _segment(found, groups) not in numbers:
            continue
        to_index = inverse @ _plane(found, groups)
        slices.add(_slice_of(to_index, (found.Rows, found.Columns), number))
        inside = _inside(found, np.asarray(found.get_stored_frame(number)), numbers)
        index = np.rint(to_index @ _homogeneous(inside)).astype(np.int64)[:3]
        if ((index < 0) | (index >= np.array(shape)[:, None])).any():
            raise ValueError(f"frame {number} lies partly outside the series")
        mask[tuple(index)] = 1
    ordered = sorted(slices)
    if len(ordered) > 2 and min(np.diff(ordered)) > 1:
        raise ValueError("its slices are further apart than those of the series: it was drawn on thicker ones")
    return mask


def _segment(found: Any, groups: Any) -> int:
    return int(_group(found, groups, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _group(found: Any, groups: Any, keyword: str) -> Any:
    """The functional group of a frame, its own before the shared one (PS3.3 C.7.6.16)."""
    items = groups.get(keyword) or found.SharedFunctionalGroupsSequence[0].get(keyword)
    if not items:
        raise ValueError(f"a frame has no {keyword}")
    return items[0]


def _plane(found: Any, groups: Any) -> NDArray[np.float64]:
    """(4, 3): (row, column, 1) of a frame to LPS mm (PS3.3 C.7.6.2.1.1)."""
    cosines = np.array(_group(found, groups, "PlaneOrientationSequence").ImageOrientationPatient, float)
    between = np.array(_group(found, groups, "PixelMeasuresSequence").PixelSpacing, float)
    plane = np.zeros((4, 3))
    plane[:3, 0], plane[:3, 1] = cosines[3:] * between[0], cosines[:3] * between[1]
    plane[:3, 2] = np.array(_group(found, groups, "PlanePositionSequence").ImagePositionPatient, float)
    plane[3, 2] = 1
    return plane


def _slice_of(to_index: NDArray[np.float64], size: tuple[int, int], number: int) -> int:
    """The slice that a frame lies in. Its steps must be single steps of the grid, its corners voxels of the grid."""
    steps = np.rint(to_index[:3, :2])
    single = (np.abs(steps).sum(axis=0) == 1).all() and not steps[0].any()
    corners = to_index[:3] @ np.array([[0, 0, 1], [size[0] - 1, size[1] - 1, 1]]).T
    if not single or np.abs(corners - np.rint(corners)).max() > OFF_GRID_VOXELS:
        raise ValueError(f"frame {number} lies off the voxels of the series: it was resampled, or drawn elsewhere")
    return int(np.rint(corners[0, 0]))


def _inside(found: Any, stored: NDArray[Any], numbers: set[int]) -> NDArray[np.bool_]:
    if found.SegmentationType == "LABELMAP":
        return np.isin(stored, sorted(numbers))
    least = FRACTION * int(found.MaximumFractionalValue) if found.SegmentationType == "FRACTIONAL" else 1
    return np.asarray(stored >= least)


def _homogeneous(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(3, N): (row, column, 1) of the voxels inside."""
    rows, columns = np.nonzero(inside)
    return np.stack([rows, columns, np.ones(len(rows))]).astype(np.float64)
