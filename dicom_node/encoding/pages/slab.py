"""Maximum intensity projections of a slab, at the scale of a page, with the outline of what lies in it."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from glianet.findings import Findings, Lesion
from glianet.volume import Volume

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

WINDOW_WIDTH_HU, WINDOW_LEVEL_HU = 600, 200
"""The paper's window for a CTA (page 8, Figure 5)."""
AIR_HU = -1000
OUTLINE_GAP, OUTLINE_WIDTH = 1, 2
"""Pixels between a lesion and its outline, which lies outside of it, and the outline's width."""


@dataclass(frozen=True)
class Plane:
    """A plane of view: the array axis it is seen along, and the letters at its top, bottom, left and right.

    A patient's right is on the left, as radiologists look at a CT; sagittal pictures look from the left: the face is
    on the left.
    """

    name: str
    axis: int
    letters: tuple[str, str, str, str]


AXIAL = Plane("axial", 0, ("A", "P", "R", "L"))
CORONAL = Plane("coronal", 1, ("S", "I", "R", "L"))
SAGITTAL = Plane("sagittal", 2, ("S", "I", "A", "P"))
PLANES = (AXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True)
class Frame:
    """Which part of the volume a square picture shows.

    centre: index (k, j, i), may be fractional. field_mm: side of the square. slab_mm: depth, around the centre; 0 for
    the one slice that holds it. pixels: of the picture's side.
    """

    plane: Plane
    centre: tuple[float, float, float]
    field_mm: float
    slab_mm: float
    pixels: int


def project(volume: Volume, frame: Frame) -> Grey:
    """(P, P) uint8: the greatest HU along the slab, windowed; air where the volume ends. Heads up, faces up."""
    hu = volume.hu[_slab(volume, frame)].max(axis=frame.plane.axis)
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2
    grey = (_at_scale(hu.astype(np.float32), volume, frame, AIR_HU) - low) * (255 / WINDOW_WIDTH_HU)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def outline(findings: Findings, lesion: Lesion, volume: Volume, frame: Frame) -> Mask:
    """(P, P) bool: a line around the projection of a lesion, none of whose pixels lies on the lesion itself.

    The whole lesion is projected, even where the slab is thinner; of a single slice, the lesion's part in it.
    """
    axis = frame.plane.axis
    box = [slice(first, last) for first, last in lesion.bounding_box]
    if not frame.slab_mm:
        box[axis] = slice(round(frame.centre[axis]), round(frame.centre[axis]) + 1)
    flat = np.zeros([volume.shape[other] for other in _other_axes(frame.plane)], np.float32)
    flat[tuple(box[other] for other in _other_axes(frame.plane))] = (
        findings.labels[tuple(box)] == lesion.number
    ).any(axis=axis)
    inside = _at_scale(flat, volume, frame, 0.0) >= 0.5
    disc = ndimage.generate_binary_structure(2, 1)
    near = ndimage.binary_dilation(inside, disc, OUTLINE_GAP)
    line: Mask = ndimage.binary_dilation(near, disc, OUTLINE_WIDTH) & ~near
    return line


def shadow(findings: Findings, volume: Volume, frame: Frame) -> Mask:
    """(P, P) bool: where a lesion is in the projection, any of them, and the pixels next to it."""
    axis, others = frame.plane.axis, _other_axes(frame.plane)
    taken = slab_range(volume, frame)
    flat = np.zeros([volume.shape[other] for other in others], np.float32)
    for lesion in findings.lesions:
        box = [slice(first, last) for first, last in lesion.bounding_box]
        box[axis] = slice(max(box[axis].start, taken.start), min(box[axis].stop, taken.stop))
        inside = (findings.labels[tuple(box)] == lesion.number).any(axis=axis)
        flat[tuple(box[other] for other in others)] += inside
    near: Mask = ndimage.binary_dilation(_at_scale(flat, volume, frame, 0.0) >= 0.5)
    return near


def place(frame: Frame, volume: Volume, index: tuple[float, float, float]) -> tuple[float, float]:
    """(x, y) pixels in the picture of an array index (k, j, i)."""
    rows, columns = _other_axes(frame.plane)
    scale = frame.pixels / frame.field_mm
    up = -1 if rows == 0 else 1  # the head is up where the picture's rows are slices
    y = up * (index[rows] - frame.centre[rows]) * volume.spacing_mm[rows] * scale
    x = (index[columns] - frame.centre[columns]) * volume.spacing_mm[columns] * scale
    return x + (frame.pixels - 1) / 2, y + (frame.pixels - 1) / 2


def slab_range(volume: Volume, frame: Frame) -> range:
    """Indices along the plane's axis that a projection takes: one, or an odd number that covers the slab."""
    axis = frame.plane.axis
    half = math.ceil(frame.slab_mm / volume.spacing_mm[axis] / 2 - 0.5) if frame.slab_mm else 0
    middle = int(np.clip(round(frame.centre[axis]), 0, volume.shape[axis] - 1))
    return range(max(middle - half, 0), min(middle + half + 1, volume.shape[axis]))


def caption(volume: Volume, frame: Frame) -> str:
    """Plane and depth as they are shown."""
    shown = len(slab_range(volume, frame)) * volume.spacing_mm[frame.plane.axis]
    return f"{frame.plane.name}, MIP of {shown:.0f} mm"


def _slab(volume: Volume, frame: Frame) -> tuple[slice, ...]:
    taken = slab_range(volume, frame)
    box = [slice(None)] * 3
    box[frame.plane.axis] = slice(taken.start, taken.stop)
    return tuple(box)


def _at_scale(
    values: npt.NDArray[np.float32], volume: Volume, frame: Frame, outside: float
) -> npt.NDArray[np.float32]:
    """Linear interpolation of a projection, (A, B) in the order of the other axes, at the pixels of the picture.

    A voxel reaches half its width beyond its centre, the outermost ones too.
    """
    axes = _other_axes(frame.plane)
    at = (np.arange(frame.pixels) - (frame.pixels - 1) / 2) * frame.field_mm / frame.pixels
    rows, columns = (frame.centre[axis] + at / volume.spacing_mm[axis] for axis in axes)
    if axes[0] == 0:
        rows = rows[::-1]
    lines = zip((rows, columns), values.shape, strict=True)
    there = [(line >= -0.5) & (line <= length - 0.5) for line, length in lines]
    grid = np.meshgrid(rows, columns, indexing="ij")
    scaled: npt.NDArray[np.float32] = ndimage.map_coordinates(values, grid, order=1, mode="nearest")
    scaled[~np.logical_and.outer(*there)] = outside
    return scaled


def _other_axes(plane: Plane) -> tuple[int, int]:
    first, second = (axis for axis in range(3) if axis != plane.axis)
    return first, second
