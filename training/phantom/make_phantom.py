"""One synthetic head CTA from a seed."""

import numpy as np
from numpy.typing import NDArray

from training.phantom.arteries import ArterialTree, grow_arteries
from training.phantom.canvas import Canvas, draw_tube, ellipsoid, new_canvas, paint
from training.phantom.head import draw_head
from training.phantom.model import Phantom, PhantomSettings, PlantedAneurysm
from training.phantom.noise import scanner_noise
from training.phantom.pose import Pose, draw_pose
from training.phantom.sacs import plant_sacs
from training.phantom.veins import grow_veins
from training.phantom.vessel import Vessel

ARTERIAL_HU = (270.0, 450.0)
DISTAL_LOSS = 0.25
"""Share of the enhancement that is gone at the thinnest branches."""

HU_RANGE = (-1024, 3071)
HEAD_TO_LPS_ORIGIN_MM = (-15.0, -160.0, -1200.0)
"""Some scanner position: the frame of reference's origin is not in the head."""


def make_phantom(seed: int, settings: PhantomSettings) -> Phantom:
    """A head CTA slab with planted saccular aneurysms; the same seed and settings give the same voxels.

    Seeds from 900000 on are kept for demonstration and evaluation: training never draws them.
    """
    rng = np.random.default_rng(seed)
    pose = draw_pose(rng, settings)
    softness = 0.5 * float(np.mean(settings.spacing_mm)) + rng.uniform(0.15, 0.45)
    tissue = draw_head(rng, pose, softness)
    level = rng.uniform(*ARTERIAL_HU)
    tree = grow_arteries(rng, level)
    canvas = new_canvas(pose, softness)
    for vessel in tree.vessels:
        _draw_vessel(canvas, vessel, level)
    count = int(rng.integers(settings.aneurysms[0], settings.aneurysms[1] + 1))
    labels = plant_sacs(rng, canvas, tree, tissue, count)
    _draw_veins(rng, canvas, level)
    _draw_calcifications(rng, canvas, tree)
    hu = tissue + canvas.coverage * (canvas.hu - tissue)
    hu += scanner_noise(rng, pose.shape, rng.uniform(*settings.noise_hu))
    voxels = np.clip(np.rint(hu), *HU_RANGE).astype(np.int16)
    affine = draw_affine(rng, settings)
    return Phantom(voxels, labels, affine, planted_sacs(labels, affine), centrelines(pose, tree), seed)


def _draw_vessel(canvas: Canvas, vessel: Vessel, level: float) -> None:
    fading = level * (1 - DISTAL_LOSS * np.clip(1.2 - vessel.radii, 0, 1)) * vessel.hu / level
    draw_tube(canvas, vessel.points, vessel.radii, fading)


def _draw_veins(rng: np.random.Generator, canvas: Canvas, arterial: float) -> None:
    level = arterial * rng.uniform(0.35, 0.95)
    for vein in grow_veins(rng, level):
        _draw_vessel(canvas, vein, level)
    for side in (1.0, -1.0):
        centre = np.array([side * 12.5, -2.0, -15.5]) + rng.normal(0, 0.5, 3)
        drawn = ellipsoid(canvas, centre, np.array([4.5, 9.0, 5.5]), np.eye(3))
        if drawn is not None:
            paint(canvas, drawn[0], drawn[1] * 0.98, min(level, arterial * 0.6))


def _draw_calcifications(rng: np.random.Generator, canvas: Canvas, tree: ArterialTree) -> None:
    """Plaques in the walls of the carotid siphon, and the pineal gland: brighter than any lumen."""
    carotids = [vessel for vessel in tree.vessels if vessel.name in ("ICA", "VA")]
    for _ in range(int(rng.integers(0, 7))):
        carotid = carotids[int(rng.integers(len(carotids)))]
        at = int(rng.integers(len(carotid.points)))
        centre = carotid.points[at] + rng.normal(0, 0.5, 3) * carotid.radii[at] * 1.4
        _draw_plaque(rng, canvas, centre)
    if rng.random() < 0.6:
        _draw_plaque(rng, canvas, np.array([0.0, 29.0, 12.0]) + rng.normal(0, 1, 3))


def _draw_plaque(rng: np.random.Generator, canvas: Canvas, centre: NDArray[np.float64]) -> None:
    drawn = ellipsoid(canvas, centre, rng.uniform(0.5, 1.6, 3), np.eye(3))
    if drawn is not None:
        box, cover = drawn
        canvas.hu[box] += cover * (rng.uniform(600, 1200) - canvas.hu[box])
        np.maximum(canvas.coverage[box], cover, out=canvas.coverage[box])


def draw_affine(rng: np.random.Generator, settings: PhantomSettings) -> NDArray[np.float64]:
    """Index (k, j, i, 1) to LPS mm of an exactly axial scan."""
    affine = np.eye(4)
    depth, height, width = settings.spacing_mm
    affine[:3, :3] = [[0, 0, width], [0, height, 0], [depth, 0, 0]]
    affine[:3, 3] = np.round(np.array(HEAD_TO_LPS_ORIGIN_MM) + rng.uniform(-20, 20, 3), 1)
    return affine


def planted_sacs(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> tuple[PlantedAneurysm, ...]:
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    planted = []
    for number in range(1, int(labels.max()) + 1):
        where = np.argwhere(labels == number)
        centre = affine[:3, :3] @ where.mean(axis=0) + affine[:3, 3]
        volume = len(where) * voxel_mm3
        diameter = 2 * (3 * volume / (4 * np.pi)) ** (1 / 3)
        x, y, z = (float(v) for v in centre)
        planted.append(PlantedAneurysm(number, (x, y, z), float(diameter), float(volume)))
    return tuple(planted)


def centrelines(pose: Pose, tree: ArterialTree) -> NDArray[np.float32]:
    points = np.concatenate([vessel.points for vessel in tree.vessels])
    index = pose.to_array_mm(points) / pose.spacing_mm
    inside = np.all((index >= 0) & (index <= np.array(pose.shape) - 1), axis=1)
    return index[inside].astype(np.float32)
