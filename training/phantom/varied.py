"""Phantoms that vary more widely than reality: what is learnt on them is meant to hold outside them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.phantom.arteries import ArterialTree, Site, grow_arteries
from training.phantom.base_detail import add_base_detail
from training.phantom.canvas import Canvas, draw_tube, ellipsoid, new_canvas, paint
from training.phantom.dome import cover, draw_dome
from training.phantom.head import draw_head
from training.phantom.lower_head import draw_lower_head
from training.phantom.make_phantom import HU_RANGE, centrelines, draw_affine, planted_sacs
from training.phantom.model import Phantom, PhantomSettings
from training.phantom.neck_vessels import VEIN_OF_NECK, grow_neck_vessels
from training.phantom.noise import smooth_field
from training.phantom.pose import Pose, draw_pose
from training.phantom.scanner import add_metal_streaks, move, scan
from training.phantom.style import Background, Style, Tree, draw_rarities, draw_style
from training.phantom.template import Template
from training.phantom.thin_bone import add_thin_bone
from training.phantom.traced_tree import read_traced_tree, with_calibre
from training.phantom.uneven import blur, draw_unevenness, with_uneven_vessels
from training.phantom.veins import grow_veins
from training.phantom.vessel import Vessel
from training.phantom.wild_tree import grow_wild_tree
from training.phantom.world import draw_world

Array = NDArray[np.float64]
Field = NDArray[np.float32]

MEDIAN_VOLUME_MM3, LOG_VOLUME_SIGMA = 52.0, 1.45
"""Of sacs: wider than the released labels' 9, 61 and 644 mm3 (5th, 50th, 95th percentile), more of them small."""
VOLUME_RANGE_MM3 = (6.0, 1500.0)
LARGEST_ON_THIN_MM3 = 120.0
THIN_RADIUS_MM = 0.9

TRIALS_PER_SAC = 40
MINIMUM_GAP_MM = 2.0
LEAST_VOXELS = 20
GREATEST_SHARE_IN_VESSELS = 0.35
GREATEST_BONE_SHARE = 0.35
BONE_HU = 300.0
LUMEN_VARIATION = 0.07
"""Contrast in a sac, relative to its parent's."""

WILD_EXTENT_MM = np.array([70.0, 85.0, 60.0])


def make_varied_phantom(
    seed: int,
    settings: PhantomSettings,
    *,
    background: Background | Template | None = None,
    trees: Sequence[Path] = (),
) -> Phantom:
    """A head CTA, or a place that is none, with planted aneurysms; the same arguments give the same voxels.

    background: "head", "world" or a template of a real head; None draws one of the first two. trees: SWC files, one of
    which gives the arteries; none for procedural ones. A template and what lies in it are not made uneven.
    """
    rng, added = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 3])
    kind: Background | None = "head" if isinstance(background, Template) else background
    tree_kind: Tree | None = "traced" if trees else None
    style = draw_style(rng, settings.spacing_mm[1], kind, tree_kind)
    pose = _stretched(draw_pose(rng, settings), style)
    tissue = _surroundings(rng, pose, style, background)
    rarities = draw_rarities(added)
    metal: list[Array] = []
    if style.background == "head" and not isinstance(background, Template):
        add_base_detail(added, tissue, pose, style.softness_mm)
        metal = draw_lower_head(added, tissue, pose, rarities.lower_head)
        add_thin_bone(np.random.default_rng([seed, 4]), tissue, pose, style.softness_mm)
    tree, jugulars = _without_veins(_swayed(rng, _arteries(rng, style, trees), style.sway_mm))
    if not isinstance(background, Template):
        tree = _made_uneven(np.random.default_rng([seed, 5]), tree, tissue, settings.spacing_mm)
    canvas = new_canvas(pose, style.softness_mm)
    for vessel in tree.vessels:
        _draw(canvas, vessel, style)
    arteries = canvas.coverage.copy()
    labels = _plant(rng, canvas, tree, tissue, arteries, settings.aneurysms)
    _draw_look_alikes(rng, canvas, tree, style, jugulars)
    hu = tissue + canvas.coverage * (canvas.hu - tissue)
    move(added, hu, settings.spacing_mm, rarities.motion_mm)
    add_metal_streaks(added, hu, settings.spacing_mm, [pose.to_array_mm(spot[None])[0] for spot in metal])
    scan(rng, hu, settings.spacing_mm, style)
    voxels = np.clip(np.rint(hu), *HU_RANGE).astype(np.int16)
    affine = draw_affine(rng, settings)
    return Phantom(voxels, labels, affine, planted_sacs(labels, affine), centrelines(pose, tree), seed)


def _stretched(pose: Pose, style: Style) -> Pose:
    return replace(pose, matrix=pose.matrix @ style.stretch)


def _surroundings(
    rng: np.random.Generator, pose: Pose, style: Style, background: Background | Template | None
) -> Field:
    if isinstance(background, Template):
        tissue = background.at(pose)
    elif style.background == "world":
        return draw_world(rng, pose)
    else:
        tissue = draw_head(rng, pose, style.softness_mm)
    bone, brain = tissue > BONE_HU, (tissue > -20) & (tissue < 100)
    tissue[bone] *= np.float32(style.bone_factor)
    tissue[brain] += np.float32(style.brain_offset_hu)
    grain = smooth_field(rng, pose.shape, pose.spacing_mm, rng.uniform(2.0, 4.0))
    tissue += np.float32(style.texture_hu) * grain * np.where(bone, 6, brain).astype(np.float32)
    return tissue


def _arteries(rng: np.random.Generator, style: Style, trees: Sequence[Path]) -> ArterialTree:
    level = style.arterial_hu
    if style.tree == "traced":
        tree = read_traced_tree(trees[int(rng.integers(len(trees)))], rng, level)
    elif style.tree == "wild":
        tree = grow_wild_tree(rng, WILD_EXTENT_MM, level)
    else:
        tree = grow_arteries(rng, level)
        for trunk in tree.vessels[: int(rng.integers(0, 12))]:  # and more walls than the named sites have
            tree.sites.append(_wall_site(rng, trunk))
        tree.vessels.extend(grow_neck_vessels(tree.vessels))
    return with_calibre(tree, style.calibre)


def _wall_site(rng: np.random.Generator, trunk: Vessel) -> Site:
    at = int(rng.integers(1, len(trunk.points) - 1))
    outward = rng.normal(size=3)
    return Site("wall", trunk.points[at], outward / np.linalg.norm(outward), float(trunk.radii[at]), 0.5)


def _swayed(rng: np.random.Generator, tree: ArterialTree, amplitude_mm: float) -> ArterialTree:
    """All vessels displaced by the same field, smooth in space, so that they still meet."""
    waves = rng.normal(0, 1, (4, 3)) / rng.uniform(3, 12, (4, 1))
    phases, shifts = rng.uniform(0, 2 * np.pi, 4), rng.normal(0, amplitude_mm / 2, (4, 3))

    def move(points: Array) -> Array:
        return points + np.sin(points @ waves.T + phases) @ shifts

    vessels = [replace(vessel, points=move(vessel.points)) for vessel in tree.vessels]
    return ArterialTree(vessels, [replace(site, point=move(site.point[None])[0]) for site in tree.sites])


def _made_uneven(
    rng: np.random.Generator, tree: ArterialTree, tissue: Field, spacing_mm: tuple[float, float, float]
) -> ArterialTree:
    drawn = draw_unevenness(rng)
    blur(tissue, spacing_mm, drawn.blur_mm)
    return with_uneven_vessels(rng, tree, drawn)


def _without_veins(tree: ArterialTree) -> tuple[ArterialTree, list[Vessel]]:
    """The arteries, and the veins that were grown beside them."""
    veins = [vessel for vessel in tree.vessels if vessel.name == VEIN_OF_NECK]
    return ArterialTree([vessel for vessel in tree.vessels if vessel.name != VEIN_OF_NECK], tree.sites), veins


def _draw(canvas: Canvas, vessel: Vessel, style: Style) -> None:
    fading = vessel.hu * (1 - style.distal_loss * np.clip(1.2 - vessel.radii, 0, 1))
    draw_tube(canvas, vessel.points, vessel.radii, fading)


def _plant(
    rng: np.random.Generator,
    canvas: Canvas,
    tree: ArterialTree,
    tissue: Field,
    arteries: Field,
    numbers: tuple[int, int],
) -> NDArray[np.uint8]:
    """(D, H, W) uint8: the number of the sac from 1, the parent vessel left out."""
    labels = np.zeros(canvas.coverage.shape, np.uint8)
    taken: list[tuple[Array, float]] = []
    weights = np.array([site.weight for site in tree.sites])
    for _ in range(int(rng.integers(numbers[0], numbers[1] + 1))):
        for _ in range(TRIALS_PER_SAC):
            site = tree.sites[int(rng.choice(len(weights), p=weights / weights.sum()))]
            if _plant_one(rng, canvas, site, tissue, arteries, labels, taken):
                break
    return labels


def _plant_one(
    rng: np.random.Generator,
    canvas: Canvas,
    site: Site,
    tissue: Field,
    arteries: Field,
    labels: NDArray[np.uint8],
    taken: list[tuple[Array, float]],
) -> bool:
    direction = site.direction + rng.normal(0, 0.35, 3)
    radius = _radius(rng, site)
    dome = draw_dome(rng, site.point, site.radius, direction / np.linalg.norm(direction), radius)
    near = any(np.linalg.norm(dome.centre - c) < dome.reach_mm + r + MINIMUM_GAP_MM for c, r in taken)
    drawn = None if near or not _inside(canvas, dome.centre, dome.reach_mm) else cover(canvas, dome)
    if drawn is None:
        return False
    box, coverage = drawn
    sac = coverage > 0.5
    own = sac & (arteries[box] < 0.5)
    shared = sac & (arteries[box] >= 0.5)
    bone = own & (tissue[box] > BONE_HU)
    if not _fits(int(own.sum()), int(shared.sum()), int(bone.sum())) or (tissue[box][own] < -200).any():
        return False
    own = _largest_piece(own)
    labels[box][own & (labels[box] == 0)] = len(taken) + 1
    level = float(canvas.hu[box][shared].mean()) * rng.uniform(1 - LUMEN_VARIATION, 1 + LUMEN_VARIATION)
    paint(canvas, box, coverage, level)
    taken.append((dome.centre, dome.reach_mm))
    return True


def _radius(rng: np.random.Generator, site: Site) -> float:
    most = VOLUME_RANGE_MM3[1] if site.radius > THIN_RADIUS_MM else LARGEST_ON_THIN_MM3
    volume = MEDIAN_VOLUME_MM3 * np.exp(rng.normal(0, LOG_VOLUME_SIGMA))
    return float((3 * np.clip(volume, VOLUME_RANGE_MM3[0], most) / (4 * np.pi)) ** (1 / 3))


def _inside(canvas: Canvas, centre: Array, reach_mm: float) -> bool:
    middle = canvas.pose.to_array_mm(centre[None])[0]
    extent = np.array(canvas.pose.shape) * canvas.pose.spacing_mm
    return bool(np.all(middle - reach_mm > 1) and np.all(middle + reach_mm < extent - 1))


def _fits(own: int, shared: int, bone: int) -> bool:
    """It is large enough to be seen, touches its parent, and lies mostly outside vessels and bone."""
    share = shared / max(own + shared, 1)
    return own >= LEAST_VOXELS and 0 < share < GREATEST_SHARE_IN_VESSELS and bone <= GREATEST_BONE_SHARE * own


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A vessel may cut slivers off a sac: they are none of their own."""
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest


def _draw_look_alikes(
    rng: np.random.Generator, canvas: Canvas, tree: ArterialTree, style: Style, jugulars: Sequence[Vessel]
) -> None:
    """Veins, plaques, clips: enhanced or bright, and no aneurysms."""
    level = style.arterial_hu * style.venous_share
    for vein in jugulars:
        _draw(canvas, replace(vein, hu=level), style)
    if style.background == "head":
        for vein in grow_veins(rng, level):
            _draw(canvas, vein, style)
    if style.extra_vessels:
        for vessel in grow_wild_tree(rng, WILD_EXTENT_MM, level, style.extra_vessels).vessels:
            _draw(canvas, vessel, style)
    for _ in range(style.plaques):
        vessel = tree.vessels[int(rng.integers(len(tree.vessels)))]
        at = int(rng.integers(len(vessel.points)))
        offset = rng.normal(0, 0.7, 3) * vessel.radii[at]
        _draw_bright(canvas, vessel.points[at] + offset, rng.uniform(0.4, 1.6, 3), rng.uniform(500, 1300))
    for _ in range(style.clips):
        vessel = tree.vessels[int(rng.integers(len(tree.vessels)))]
        at = vessel.points[int(rng.integers(len(vessel.points)))]
        _draw_bright(canvas, at, np.array([0.9, 0.9, rng.uniform(2.5, 5)]), 3000.0)


def _draw_bright(canvas: Canvas, centre: Array, axes: Array, hu: float) -> None:
    drawn = ellipsoid(canvas, centre, axes, np.eye(3))
    if drawn is not None:
        box, coverage = drawn
        canvas.hu[box] += coverage * (np.float32(hu) - canvas.hu[box])
        np.maximum(canvas.coverage[box], coverage, out=canvas.coverage[box])
