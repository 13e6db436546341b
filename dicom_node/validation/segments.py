"""The segments of a Segmentation, read from its pixels: PS3.3 C.8.20, pydicom alone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import pixel_array

from dicom_node.validation.references import Reference, reference_of
from dicom_node.validation.verdicts import NotMade, expect

ON_PLANE = 0.5  # of the distance between two planes: how far from a plane a point still belongs to it
EXACT_MM = 1e-3  # Decimal Strings hold 1e-6 mm or better
Mask = npt.NDArray[np.bool_]
Packed = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Plane:
    """A frame: index from 0; position LPS mm; directions of a row and of a column (2, 3); spacing between rows and
    between columns mm; segment: its number, None in a label map, where each voxel has one."""

    index: int
    position: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    spacing: npt.NDArray[np.float64]
    segment: int | None
    references: tuple[Reference, ...]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """(3,), of length 1."""
        return np.cross(*self.directions)


@dataclass(frozen=True)
class Counted:
    """voxels: of each segment. shared: voxels that lie in several segments."""

    voxels: dict[int, int]
    shared: int


def list_planes(segmentation: Dataset) -> list[Plane]:
    """The frames in stored order, from the frame's own functional groups or the shared ones (PS3.3 C.7.6.16)."""
    if "TotalPixelMatrixColumns" in segmentation:
        raise NotMade("it lies on a slide, not in a patient")
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    frames = segmentation.PerFrameFunctionalGroupsSequence
    stated = int(segmentation.NumberOfFrames)
    expect(len(frames) == stated, f"it has functional groups of {len(frames)} frames, {stated} are stated")
    return [_plane(index, groups, shared) for index, groups in enumerate(frames)]


def count_voxels(segmentation: Dataset, planes: list[Plane]) -> Counted:
    """Decode every frame, one in memory at a time, and count.

    Raises:
        NotMade: no decoder for the transfer syntax is installed, or voxels are fractions.
    """
    voxels: Counter[int] = Counter({int(item.SegmentNumber): 0 for item in segmentation.SegmentSequence})
    occupied: dict[tuple[float, ...], Packed] = {}
    shared = 0
    for plane in planes:
        frame = _decode(segmentation, plane.index)
        for number, mask in _masks(plane, frame):
            voxels[number] += int(np.count_nonzero(mask))
        if plane.segment is not None:
            key = tuple(np.round(plane.position / EXACT_MM))
            packed: Packed = np.packbits(frame != 0)
            before = occupied.get(key, np.zeros_like(packed))
            shared += int(np.unpackbits(before & packed).sum())
            occupied[key] = before | packed
    return Counted(dict(voxels), shared)


def voxel_mm3(segmentation: Dataset, planes: list[Plane]) -> float:
    """The volume of a voxel, its depth being the distance between neighbouring planes."""
    return float(np.prod(planes[0].spacing)) * plane_distance_mm(segmentation, planes)


def plane_distance_mm(segmentation: Dataset, planes: list[Plane]) -> float:
    """SpacingBetweenSlices, else the least distance of two frames, else SliceThickness."""
    groups = segmentation.SharedFunctionalGroupsSequence[0], segmentation.PerFrameFunctionalGroupsSequence[0]
    measures = next(one.PixelMeasuresSequence[0] for one in groups if one.get("PixelMeasuresSequence"))
    if measures.get("SpacingBetweenSlices"):
        return abs(float(measures.SpacingBetweenSlices))
    places = np.unique(np.round([plane.position @ planes[0].normal for plane in planes], 3))
    return float(np.diff(places).min()) if len(places) > 1 else float(measures.SliceThickness)


def holds_point(segmentation: Dataset, planes: list[Plane], number: int, point: npt.NDArray[np.float64]) -> bool:
    """Whether the voxel of segment `number` at `point` (LPS mm) is set."""
    reach = ON_PLANE * plane_distance_mm(segmentation, planes) + EXACT_MM
    for plane in planes:
        offset = point - plane.position
        if plane.segment not in (None, number) or abs(offset @ plane.normal) > reach:
            continue
        column, row = np.rint(plane.directions @ offset / plane.spacing[::-1]).astype(int)
        if holds_pixel(segmentation, plane, number, row, column):
            return True
    return False


def holds_pixel(segmentation: Dataset, plane: Plane, number: int, row: int, column: int) -> bool:
    """Whether the pixel of a frame belongs to segment `number`; rows and columns from 0."""
    if not (0 <= row < segmentation.Rows and 0 <= column < segmentation.Columns):
        return False
    value = int(_decode(segmentation, plane.index)[row, column])
    return value == number if plane.segment is None else plane.segment == number and value != 0


def _plane(index: int, groups: Dataset, shared: Dataset) -> Plane:
    def of(keyword: str) -> Dataset:
        item: Dataset = (groups.get(keyword) or shared[keyword].value)[0]
        return item

    identified = groups.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
    derivations = groups.get("DerivationImageSequence") or shared.get("DerivationImageSequence") or []
    images = [image for one in derivations for image in one.get("SourceImageSequence") or []]
    return Plane(
        index=index,
        position=np.array(of("PlanePositionSequence").ImagePositionPatient, np.float64),
        directions=np.array(of("PlaneOrientationSequence").ImageOrientationPatient, np.float64).reshape(2, 3),
        spacing=np.array(of("PixelMeasuresSequence").PixelSpacing, np.float64),
        segment=int(identified[0].ReferencedSegmentNumber) if identified else None,
        references=tuple(reference_of(image) for image in images),
    )


def _decode(segmentation: Dataset, index: int) -> npt.NDArray[np.uint8]:
    """One frame, (rows, columns). Bits of frames follow each other without a gap (PS3.5 section 8.1.1, annex D.1)."""
    if segmentation.get("SegmentationType") == "FRACTIONAL":
        raise NotMade("its voxels are fractions, which belong to no segment as a whole")
    if segmentation.BitsAllocated == 1 and not segmentation.file_meta.TransferSyntaxUID.is_encapsulated:
        return _unpack(segmentation, index)
    try:
        frame: npt.NDArray[np.uint8] = pixel_array(segmentation, index=index)
    except (NotImplementedError, RuntimeError) as error:
        raise NotMade(f"no decoder for its transfer syntax is here ({type(error).__name__})") from error
    return frame


def _unpack(segmentation: Dataset, index: int) -> npt.NDArray[np.uint8]:
    shape = int(segmentation.Rows), int(segmentation.Columns)
    first = index * shape[0] * shape[1]
    last = first + shape[0] * shape[1]
    packed = np.frombuffer(segmentation.PixelData, np.uint8)[first // 8 : -(-last // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][: shape[0] * shape[1]]
    expect(len(bits) == shape[0] * shape[1], "the pixel data are shorter than the frames need")
    return bits.reshape(shape)


def _masks(plane: Plane, frame: npt.NDArray[np.uint8]) -> Iterator[tuple[int, Mask]]:
    if plane.segment is not None:
        yield plane.segment, frame != 0
        return
    for number in np.unique(frame[frame != 0]):
        yield int(number), frame == number
