"""Patches of one volume: some around aneurysms, some from elsewhere (paper, supplement, Input Transformation)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.tiling import Box, global_box, pad_to_patch
from glianet.windows import to_channels
from training.pyramid import pyramid_weights
from training.recipe import LossRecipe, PatchRecipe
from training.training_case import Points, TrainingCase, Voxel

NEGATIVE_TRIALS = 8
NEGATIVE_JITTER_SHARE = 3
"""A negative patch's centre lies up to a third of its edge from the voxel that it is drawn around."""


@dataclass(frozen=True, eq=False)
class Turn:
    """How a patch is turned before the network sees it: axes flipped, then quarter turns from rows to columns."""

    flipped: tuple[int, ...] = ()
    quarters: int = 0

    def apply(self, patch: NDArray) -> NDArray:
        """(S, S, S), turned."""
        return np.rot90(np.flip(patch, self.flipped), self.quarters, axes=(1, 2))

    def undo(self, voxel: Voxel, size: int) -> Voxel:
        """Index in the patch as it lies in the volume."""
        z, y, x = voxel
        for _ in range(self.quarters % 4):
            y, x = x, size - 1 - y
        index = [size - 1 - i if axis in self.flipped else i for axis, i in enumerate((z, y, x))]
        return index[0], index[1], index[2]


@dataclass(frozen=True, eq=False)
class Patches:
    """N patches of one volume.

    channels: (N, 3, S, S, S) float32, windowed. boxes: N rows (z0, z1, y0, y1, x0, x1) in the global image. targets:
    (N, S, S, S) bool; weights: the same shape, float32; positive: (N,) bool, the global label. whole: (1, 3, 96, 96,
    96). starts: first voxel of each patch in the stored volume; turns: what was done to each.
    """

    case: TrainingCase
    channels: Tensor
    boxes: list[Box]
    targets: Tensor
    weights: Tensor
    positive: Tensor
    whole: Tensor
    starts: list[Voxel]
    turns: list[Turn]

    def voxel(self, patch: int, z: int, y: int, x: int) -> Voxel:
        """Index in the stored volume of a voxel of a patch."""
        start, size = self.starts[patch], self.targets.shape[-1]
        inside = self.turns[patch].undo((z, y, x), size)
        return start[0] + inside[0], start[1] + inside[1], start[2] + inside[2]

    def to(self, device: torch.device) -> "Patches":
        """The same with its tensors on a device."""
        moved = (t.to(device) for t in (self.channels, self.targets, self.weights, self.positive, self.whole))
        channels, targets, weights, positive, whole = moved
        return Patches(
            self.case, channels, self.boxes, targets, weights, positive, whole, self.starts, self.turns
        )


def draw_patches(
    rng: np.random.Generator, case: TrainingCase, kinds: list[bool], recipe: PatchRecipe, loss: LossRecipe
) -> Patches:
    """One patch of a case for each of `kinds`: True for one with an aneurysm, False for one from elsewhere.

    A case smaller than a patch is padded with its lowest value. With augment "mirror", the volume is mirrored left for
    right in every other call, global image and boxes with it, so that the location feature still tells where the patch
    lies; with "patch" each patch is flipped and turned by itself, as in the paper.
    """
    size = recipe.size
    hu, labels, before = _padded(case)
    mirrored = recipe.augment == "mirror" and bool(rng.random() < 0.5)
    starts, turns = [], []
    for positive in kinds:
        start = _positive_start if positive and len(case.centres) else _negative_start
        starts.append(start(rng, case, labels, before, recipe))
        turns.append(_turn(rng, recipe.augment, mirrored))
    cut = [tuple(slice(first, first + size) for first in start) for start in starts]
    numbers = [np.ascontiguousarray(turn.apply(labels[box])) for turn, box in zip(turns, cut, strict=True)]
    patches = np.stack([turn.apply(hu[box]) for turn, box in zip(turns, cut, strict=True)])
    targets = torch.from_numpy(np.stack(numbers) > 0)
    return Patches(
        case=case,
        channels=to_channels(torch.from_numpy(patches)).contiguous(),
        boxes=[global_box(_placed(start, size, hu.shape, mirrored), hu.shape, size) for start in starts],
        targets=targets,
        weights=torch.from_numpy(np.stack([pyramid_weights(one, loss) for one in numbers])),
        positive=targets.flatten(1).sum(1) > loss.positive_above,
        whole=case.whole.flip(-1) if mirrored else case.whole,
        starts=[(z - before[0], y - before[1], x - before[2]) for z, y, x in starts],
        turns=turns,
    )


def _padded(case: TrainingCase) -> tuple[NDArray[np.int16], NDArray[np.uint8], Voxel]:
    """As inference pads, whatever the patches' size: boxes in the global image must mean the same."""
    hu, before = pad_to_patch(case.hu)
    if hu.shape == case.hu.shape:
        return hu, case.labels, before
    labels = np.zeros(hu.shape, np.uint8)
    inside = tuple(slice(first, first + n) for first, n in zip(before, case.hu.shape, strict=True))
    labels[inside] = case.labels
    return hu, labels, before


def _turn(rng: np.random.Generator, augment: str, mirrored: bool) -> Turn:
    if augment == "patch":
        return Turn(tuple(axis for axis in range(3) if rng.random() < 0.5), int(rng.integers(4)))
    return Turn((2,)) if mirrored else Turn()


def _positive_start(
    rng: np.random.Generator, case: TrainingCase, labels: NDArray[np.uint8], before: Voxel, recipe: PatchRecipe
) -> Voxel:
    centre = case.centres[_aneurysm(rng, case, recipe.small_share)] + before
    return _start_around(centre + rng.integers(-recipe.jitter, recipe.jitter + 1, 3), recipe.size, labels.shape)


def _aneurysm(rng: np.random.Generator, case: TrainingCase, small_share: float) -> int:
    """The number from 0 of one of the smaller half, of an odd number the one in the middle too, or of any."""
    if not small_share or rng.random() >= small_share:
        return int(rng.integers(len(case.centres)))
    smallest_first = np.argsort(case.voxels, kind="stable")
    return int(smallest_first[rng.integers((len(smallest_first) + 1) // 2)])


def _negative_start(
    rng: np.random.Generator, case: TrainingCase, labels: NDArray[np.uint8], before: Voxel, recipe: PatchRecipe
) -> Voxel:
    """Preferably a patch without an aneurysm; in a volume full of them, the last one tried."""
    jitter = recipe.size // NEGATIVE_JITTER_SHARE
    for _ in range(NEGATIVE_TRIALS):
        centre = _negative_centre(rng, case, recipe) + before + rng.integers(-jitter, jitter + 1, 3)
        start = _start_around(centre, recipe.size, labels.shape)
        if not labels[tuple(slice(first, first + recipe.size) for first in start)].any():
            break
    return start


def _negative_centre(rng: np.random.Generator, case: TrainingCase, recipe: PatchRecipe) -> Points:
    if case.mistakes and rng.random() < recipe.mistake_share:
        return np.array(case.mistakes[int(rng.integers(len(case.mistakes)))])
    kind = rng.random()
    for share, points in (
        (recipe.artery_share, case.arteries),
        (recipe.bright_share, case.bright),
        (recipe.bone_share, case.bone),
    ):
        if kind < share and len(points):
            return points[int(rng.integers(len(points)))]
        kind -= share
    return rng.integers(0, case.hu.shape)


def _start_around(centre: Points, size: int, shape: tuple[int, ...]) -> Voxel:
    """The patch's first voxel, the patch wholly inside the volume."""
    z, y, x = (int(np.clip(c - size // 2, 0, n - size)) for c, n in zip(centre, shape, strict=True))
    return z, y, x


def _placed(start: Voxel, size: int, shape: tuple[int, ...], mirrored: bool) -> Voxel:
    return (start[0], start[1], shape[2] - size - start[2]) if mirrored else start
