"""The lesions that a DICOM SEG marks."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.metrics.targets import find_targets
from training.readers.readings import Found

if TYPE_CHECKING:
    from pydicom import Dataset

LARGEST_OFFSET = 0.1
"""By how much of a slice's distance a frame may lie beside the even stack of slices."""


def findings_of_segmentation(seg: "Dataset") -> tuple[Found, ...]:
    """Its 26-connected components of more than 10 voxels over all segments, as the paper counts targets.

    Centre in LPS mm and diameter of the sphere of equal volume. Raises ValueError where it is not BINARY, or where its
    frames are no even stack of one orientation. A SEG without frames marks nothing.
    """
    if seg.SegmentationType != "BINARY":
        raise ValueError(f"its SegmentationType is {seg.SegmentationType}; save it as BINARY")
    if not int(seg.NumberOfFrames) or not np.any(pixels := _pixels(seg)):
        return ()
    mask, affine = _stack(seg, pixels)
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    found = []
    for target in find_targets(mask):
        x, y, z = (float(value) for value in (affine @ [*target.centre, 1.0])[:3])
        found.append(Found((x, y, z), target.diameter_mm(voxel_mm3)))
    return tuple(found)


def _pixels(seg: "Dataset") -> NDArray[np.bool_]:
    """(F, H, W)."""
    return np.asarray(seg.pixel_array != 0).reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)


def _stack(seg: "Dataset", pixels: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Frames to (D, H, W) with its affine, index (k, j, i, 1) to LPS mm (PS3.3 C.7.6.2.1.1)."""
    rows, columns, positions = _directions(seg), _directions(seg, 3), _positions(seg)
    normal = np.cross(rows, columns)
    measures = _functional_group(seg, 0, "PixelMeasuresSequence")
    step = float(measures.get("SpacingBetweenSlices") or measures.SliceThickness)
    heights = (positions - positions[0]) @ normal / step
    numbers = np.rint(heights - heights.min()).astype(int)
    even = np.abs(heights - heights.min() - numbers).max() < LARGEST_OFFSET
    aside = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    if not even or np.abs(aside).max() > LARGEST_OFFSET * step:
        raise ValueError("its frames are no even stack of slices")
    mask = np.zeros((numbers.max() + 1, *pixels.shape[1:]), bool)
    for number, frame in zip(numbers, pixels, strict=True):
        mask[number] |= frame
    between_rows, between_columns = (float(value) for value in measures.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, columns * between_rows, rows * between_columns
    affine[:3, 3] = positions[int(heights.argmin())]
    return mask, affine


def _directions(seg: "Dataset", first: int = 0) -> NDArray[np.float64]:
    """Of a row (0) or a column (3); the same in all frames."""
    frames = range(int(seg.NumberOfFrames))
    cosines = np.array(
        [_functional_group(seg, n, "PlaneOrientationSequence").ImageOrientationPatient for n in frames], float
    )
    if not np.allclose(cosines, cosines[0], atol=1e-4):
        raise ValueError("its frames have several orientations")
    return cosines[0, first : first + 3]


def _positions(seg: "Dataset") -> NDArray[np.float64]:
    """(F, 3) LPS mm of the first pixel of each frame."""
    frames = range(int(seg.NumberOfFrames))
    return np.array([_functional_group(seg, n, "PlanePositionSequence").ImagePositionPatient for n in frames], float)


def _functional_group(seg: "Dataset", frame: int, keyword: str) -> "Dataset":
    """Of the frame, or of all frames together (PS3.3 C.7.6.16)."""
    for groups in (seg.PerFrameFunctionalGroupsSequence[frame], seg.SharedFunctionalGroupsSequence[0]):
        if keyword in groups:
            return groups[keyword].value[0]
    raise ValueError(f"frame {frame + 1} has no {keyword}")
