"""The head without vessels: scalp, skull with diploe, brain, fluid spaces, skull base and air."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.phantom.canvas import Canvas, ellipsoid, new_canvas
from training.phantom.noise import smooth_field
from training.phantom.pose import HEAD_CENTRE_MM, Pose
from training.phantom.skull_base import base_height, base_thickness

Slice = NDArray[np.float32]

AIR_HU = -1000.0
HEAD_AXES_MM = (73.0, 95.0, 98.0)
# Depth under the skin (mm) to HU: scalp, fat, muscle, outer table, diploe, inner table, fluid, brain.
DEPTH_MM = (-0.4, 0.4, 1.4, 2.2, 4.0, 4.8, 5.4, 5.9, 7.0, 7.7, 9.3, 10.0, 11.2, 11.8, 13.0, 13.8)
DEPTH_HU = (AIR_HU, 40, 40, -75, -75, 45, 55, 1150, 1250, 600, 600, 1200, 1250, 22, 14, 38)
GREY_HU, WHITE_HU, FLUID_HU = 38.0, 29.0, 8.0

# (centre, axes, HU), head mm, mirrored where x is not 0.
FLUID_SPACES: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((0, -2, -2), (15, 11, 6)),  # suprasellar cistern
    ((31, -4, 6), (13, 7, 4)),  # Sylvian fissure
    ((40, 4, 14), (4, 16, 12)),
    ((0, 12, -20), (10, 4, 18)),  # prepontine cistern
    ((0, 32, 14), (9, 5, 6)),  # quadrigeminal cistern
    ((0, -22, 14), (1.8, 16, 12)),  # interhemispheric fissure
    ((9, -14, 22), (4.5, 14, 6)),  # lateral ventricles
    ((10, 18, 28), (5.5, 24, 6)),
    ((0, 10, 12), (2.5, 11, 8)),  # third ventricle
    ((0, 34, -20), (5, 5, 8)),  # fourth ventricle
    ((16, 18, -2), (3, 12, 4)),  # ambient cistern
)
AIR_SPACES: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((5.5, -13, -22), (6, 11, 8)),  # sphenoid sinus
    ((8, -42, -14), (6, 18, 11)),  # ethmoid cells
    ((28, -46, -44), (13, 15, 15)),  # maxillary sinus
    ((6, -48, -36), (4, 24, 12)),  # nasal cavity
    ((0, -4, -48), (10, 9, 9)),  # nasopharynx
    ((9, -70, 8), (8, 4, 10)),  # frontal sinus
    ((56, 26, -26), (4, 4, 7)),  # outer ear canal
)
ORBIT = ((30.0, -50.0, -10.0), (17.0, 24.0, 16.0))
EYE = ((31.0, -64.0, -10.0), (11.5, 11.5, 11.5))


@dataclass(frozen=True)
class _Irregularity:
    wide: NDArray[np.float32]
    fine: NDArray[np.float32]


def draw_head(rng: np.random.Generator, pose: Pose, softness_mm: float) -> NDArray[np.float32]:
    """(D, H, W) float32 HU of a head without contrast."""
    uneven = _Irregularity(
        smooth_field(rng, pose.shape, pose.spacing_mm, 22.0),
        smooth_field(rng, pose.shape, pose.spacing_mm, 3.5),
    )
    axes = np.array(HEAD_AXES_MM) * rng.uniform(0.97, 1.05, 3)
    heights = base_height(rng)
    thicknesses = base_thickness(rng)
    hu = np.empty(pose.shape, np.float32)
    for k in range(pose.shape[0]):
        x, y, z = pose.head_slice(k)
        depth = _depth(x, y, z, axes)
        tissue = _cranium(depth, x, z, uneven.wide[k], uneven.fine[k])
        _add_base(tissue, depth, heights(x, y) - z, thicknesses(x, y), uneven.wide[k], uneven.fine[k])
        hu[k] = tissue
    _add_spaces(rng, hu, pose, softness_mm)
    if rng.random() < 0.7:
        _add_table(rng, hu, pose, axes)
    return hu


def _depth(x: Slice, y: Slice, z: Slice, axes: NDArray[np.float64]) -> Slice:
    """Depth under the skin in mm, along rays from the head's centre; the face is squarer than the vault."""
    x, y, z = x - HEAD_CENTRE_MM[0], y - HEAD_CENTRE_MM[1], z - HEAD_CENTRE_MM[2]
    up = np.abs(z / np.float32(axes[2]))
    level = np.where(z > 0, up**2, up**3)
    scaled = np.sqrt((x / np.float32(axes[0])) ** 2 + (y / np.float32(axes[1])) ** 2 + level) + np.float32(
        1e-4
    )
    distance = np.sqrt(x**2 + y**2 + np.where(z > 0, z**2, z**2 * up))
    return distance / scaled - distance


def _cranium(depth: Slice, x: Slice, z: Slice, wide: Slice, fine: Slice) -> Slice:
    tissue = np.interp(depth * (1 + 0.09 * wide), DEPTH_MM, DEPTH_HU).astype(np.float32)
    bone = tissue > 400
    tissue[bone] *= 1 + 0.1 * fine[bone]
    brain = depth > 14.5
    cortex = 3.5 + 2.2 * fine
    white = brain & (depth - 15 > cortex) & (np.abs(wide) < 1.4)
    tissue[white] = WHITE_HU
    sulci = brain & (depth < 26) & (fine > 1.35)
    tissue[sulci] = FLUID_HU + 6
    tissue[brain & (np.abs(x) < 2.2) & (depth < 40) & (z > 18)] = FLUID_HU + 6
    tissue[(depth > 12) & (np.abs(x) < 0.7) & (z > 18)] = 62
    return tissue


def _add_base(tissue: Slice, depth: Slice, below: Slice, thickness: Slice, wide: Slice, fine: Slice) -> None:
    """What lies under the floor of the cranial cavity: bone with marrow and cells, then muscle and fat."""
    inside = (depth > 5.4) & (below > -0.6)
    edge = np.clip(below / 1.2 + 0.5, 0, 1)
    cortical = (below < 1.8) | (below > thickness - 1.5)
    bone = np.where(cortical, 1050 + 120 * fine, 560 + 170 * fine)
    bone = np.where((fine > 1.0) & (wide > 0.3) & ~cortical, -650.0, bone)
    soft = np.where(wide + 0.3 * fine > 0.45, -85.0, 58.0 + 6 * fine)
    base = np.where(below < thickness, bone, soft)
    shell = (depth < 11.8) & (below > 12)
    base = np.where(shell & (depth > 7), soft, base)
    tissue[inside] = (tissue + edge * (base - tissue))[inside]


def _add_spaces(rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, softness_mm: float) -> None:
    canvas = new_canvas(pose, softness_mm)
    for centre, axes in FLUID_SPACES:
        _add_pair(rng, hu, canvas, centre, axes, FLUID_HU, 0.0, keep_above=200.0)
    _add_pair(rng, hu, canvas, *ORBIT, -85.0, 1.5, keep_above=None)
    _add_pair(rng, hu, canvas, *EYE, 12.0, 1.0, keep_above=None)
    for centre, axes in AIR_SPACES:
        filled = 35.0 if rng.random() < 0.06 else AIR_HU
        _add_pair(rng, hu, canvas, centre, axes, filled, rng.uniform(0.8, 1.5), keep_above=None)


def _add_pair(
    rng: np.random.Generator,
    hu: NDArray[np.float32],
    canvas: Canvas,
    centre: tuple[float, float, float],
    axes: tuple[float, float, float],
    level: float,
    wall_mm: float,
    keep_above: float | None,
) -> None:
    """Fill a space on both sides, within a bony (or scleral) wall; never beyond the skin."""
    for side in (1.0, -1.0) if centre[0] else (1.0,):
        middle = (np.array(centre) + rng.normal(0, 0.8, 3)) * [side, 1, 1]
        size = np.array(axes) * rng.uniform(0.85, 1.15, 3)
        if wall_mm:
            _fill(hu, canvas, middle, size + wall_mm, 350.0 if level < 0 else 70.0, keep_above)
        _fill(hu, canvas, middle, size, level, keep_above)


def _fill(
    hu: NDArray[np.float32],
    canvas: Canvas,
    centre: NDArray[np.float64],
    axes: NDArray[np.float64],
    level: float,
    keep_above: float | None,
) -> None:
    drawn = ellipsoid(canvas, centre, axes, np.eye(3))
    if drawn is None:
        return
    box, cover = drawn
    kept = hu[box] < -300 if keep_above is None else (hu[box] < -300) | (hu[box] > keep_above)
    hu[box] += np.where(kept, 0, cover) * (level - hu[box])


def _add_table(
    rng: np.random.Generator, hu: NDArray[np.float32], pose: Pose, axes: NDArray[np.float64]
) -> None:
    """A head holder: a thin dense shell with foam inside, behind the head."""
    gap, shell_hu = rng.uniform(3, 9), rng.uniform(-150, 250)
    for k in range(pose.shape[0]):
        x, y, z = pose.head_slice(k)
        depth = _depth(x, y, z, axes)
        behind = (y > 30) & (hu[k] < -900)
        hu[k][behind & (depth < -1) & (depth > -gap)] = -955
        hu[k][behind & (depth <= -gap) & (depth > -gap - 2.5)] = shell_hu
