"""What lies below the cranium: face, jaws with teeth, neck with its spine and airway, shoulders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.canvas import blend_ellipsoid, new_canvas
from training.phantom.noise import smooth_field
from training.phantom.pose import Pose

Array = NDArray[np.float64]
Slice = NDArray[np.float32]

TOP_MM = -36.0
"""Head z: above, the cranium is all there is."""
CRANIUM_ENDS_MM = -58.0
CHIN_MM, SHOULDERS_MM, SHOULDER_SLOPE_MM = -112.0, -150.0, 28.0

# Centre (x, y) and semi-axes (x, y) in head mm.
FACE = ((0.0, -28.0), (56.0, 56.0))
NECK = ((0.0, 30.0), (58.0, 56.0))
TRUNK = ((0.0, 40.0), (205.0, 98.0))

# Depth under the skin (mm) to HU: air, skin, fat, muscle.
DEPTH_MM = (-0.4, 0.4, 1.6, 2.6, 6.0, 8.0)
DEPTH_HU = (-1000.0, 40.0, 40.0, -95.0, -95.0, 58.0)
AIR_HU, MUSCLE_HU, FLUID_HU = -1000.0, 58.0, 15.0
CORTEX_HU, MARROW_HU, ENAMEL_HU, METAL_HU = 950.0, 320.0, 2100.0, 3071.0

SPINE_CENTRE, CANAL_CENTRE, AIRWAY_CENTRE = (0.0, 34.0), (0.0, 52.0), (0.0, -2.0)
VERTEBRA_MM, DISC_MM = 17.0, 4.5
ARCH_MM = (24.0, 34.0)
"""Semi-axes of the dental arch; it is centred on the face."""
JAWS_MM = (-64.0, -78.0)
TEETH = 14


@dataclass(frozen=True, eq=False)
class LowerHead:
    """Whether there is anything below the head, and how many teeth hold metal."""

    drawn: bool
    metal_teeth: int


def draw_lower_head(rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, choice: LowerHead) -> list[Array]:
    """Adds to (D, H, W) HU of a head, in place; the head points (x, y, z) mm where metal lies.

    Below `TOP_MM` the air outside the head is filled; below `CRANIUM_ENDS_MM` all that lies within face, neck and
    shoulders is drawn anew.
    """
    if not choice.drawn or not _reaches_below(pose):
        return []
    marble = smooth_field(rng, pose.shape, pose.spacing_mm, 9.0)
    for k in range(pose.shape[0]):
        x, y, z = pose.head_slice(k)
        if float(z.min()) < TOP_MM:
            _add_slice(hu[k], x, y, z, marble[k])
    return _add_teeth(rng, hu, pose, choice.metal_teeth)


def _reaches_below(pose: Pose) -> bool:
    return any(float(pose.head_slice(k)[2].min()) < TOP_MM for k in (0, pose.shape[0] - 1))


def _add_slice(hu: Slice, x: Slice, y: Slice, z: Slice, marble: Slice) -> None:
    depth = np.maximum(_face_depth(x, y, z), _neck_depth(x, y, z))
    tissue = np.interp(depth, DEPTH_MM, DEPTH_HU).astype(np.float32)
    inner = depth > 9
    tissue[inner] = np.where(marble > 0.9, -80.0, MUSCLE_HU + 5 * marble)[inner]
    _add_spine(tissue, x, y, z)
    airway = _ellipse(x, y, AIRWAY_CENTRE, (9.0, 7.0)) < 1
    tissue[airway & (depth > 12)] = AIR_HU
    below = z < TOP_MM
    changed = below & (depth > -0.4) & (outer_air(hu) | (z < CRANIUM_ENDS_MM))
    hu[changed] = tissue[changed]


def outer_air(hu: Slice) -> NDArray[np.bool_]:
    """Air that is reached from the slice's edge along a row or a column."""
    air = hu < -300
    reached = np.zeros(hu.shape, bool)
    for axis in (0, 1):
        for turned in (False, True):
            source = np.flip(air, axis) if turned else air
            run = np.logical_and.accumulate(source, axis=axis)
            reached |= np.flip(run, axis) if turned else run
    return reached


def _face_depth(x: Slice, y: Slice, z: Slice) -> Slice:
    """Depth in mm under the skin of the face, which narrows towards the chin."""
    narrowing = np.clip((z - CHIN_MM) / 40, 0.02, 1) ** 0.5
    size = np.minimum(*FACE[1])
    depth = (narrowing - np.sqrt(_ellipse(x, y, *FACE))) * size
    return np.where(z > CHIN_MM, depth, np.float32(-50)).astype(np.float32)


def _neck_depth(x: Slice, y: Slice, z: Slice) -> Slice:
    widening = np.clip((SHOULDERS_MM - z) / SHOULDER_SLOPE_MM, 0, 1)
    widening = widening * widening * (3 - 2 * widening)
    across = NECK[1][0] + widening * (TRUNK[1][0] - NECK[1][0])
    along = NECK[1][1] + widening * (TRUNK[1][1] - NECK[1][1])
    middle = NECK[0][1] + widening * (TRUNK[0][1] - NECK[0][1])
    scaled = np.sqrt((x / across) ** 2 + ((y - middle) / along) ** 2)
    return ((1 - scaled) * np.minimum(across, along)).astype(np.float32)


def _add_spine(tissue: Slice, x: Slice, y: Slice, z: Slice) -> None:
    """Bodies with discs between, an arch with a spinous process, the canal with its cord."""
    level = np.mod(-z, VERTEBRA_MM)
    disc = level < DISC_MM
    body = _ellipse(x, y, SPINE_CENTRE, (12.0, 9.5))
    tissue[body < 1] = MARROW_HU
    tissue[(body < 1) & ((body > 0.72) | (level < DISC_MM + 1.2) | (level > VERTEBRA_MM - 1.2))] = CORTEX_HU
    tissue[(body < 1) & disc] = 80.0
    canal = _ellipse(x, y, CANAL_CENTRE, (11.0, 8.0))
    arch = (canal < 2.1) & (canal >= 1) & (y > CANAL_CENTRE[1] - 4) & ~disc
    spinous = (np.abs(x) < 3.2) & (y > CANAL_CENTRE[1] + 8) & (y < CANAL_CENTRE[1] + 26) & (level > VERTEBRA_MM - 8)
    tissue[arch | spinous] = CORTEX_HU * 0.8
    tissue[canal < 1] = FLUID_HU
    tissue[_ellipse(x, y, CANAL_CENTRE, (6.5, 4.5)) < 1] = 38.0


def _ellipse(x: Slice, y: Slice, centre: tuple[float, float], axes: tuple[float, float]) -> Slice:
    """Below 1 inside."""
    inside: Slice = ((x - np.float32(centre[0])) / axes[0]) ** 2 + ((y - np.float32(centre[1])) / axes[1]) ** 2
    return inside


def _add_teeth(rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, metal_teeth: int) -> list[Array]:
    """Two rows of teeth in their jaws; in some of them metal."""
    canvas = new_canvas(pose, 0.5)
    places = [_tooth(jaw, number) for jaw in JAWS_MM for number in range(TEETH)]
    for place in places:
        blend_ellipsoid(hu, canvas, place + [0, 3.0, 0], np.array([5.0, 6.0, 9.0]), 650.0)
    for place in places:
        blend_ellipsoid(hu, canvas, place, rng.uniform(0.9, 1.15, 3) * [3.2, 3.6, 7.0], ENAMEL_HU)
    chosen = [places[number] for number in rng.permutation(len(places))[:metal_teeth]]
    for place in chosen:
        blend_ellipsoid(hu, canvas, place, np.array([3.6, 4.0, 3.6]), METAL_HU)
    return chosen


def _tooth(jaw_mm: float, number: int) -> Array:
    angle = np.pi * (0.04 + 0.92 * number / (TEETH - 1))
    return np.array([ARCH_MM[0] * np.cos(angle), FACE[0][1] - ARCH_MM[1] * np.sin(angle), jaw_mm])
