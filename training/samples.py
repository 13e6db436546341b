"""Patches of one volume: some around aneurysms, some from elsewhere in the head."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.global_volume import resample_global
from glianet.tiling import Box, global_box
from glianet.windows import to_channels
from training.pyramid import pyramid_weights
from training.stream import Case, Points

Starts = tuple[int, int, int]

POSITIVE_MARGIN_VOXELS = 4
"""An aneurysm's centre stays this far inside its patch. The paper deviates by 38 voxels at most, a margin of
10; but the score is a mean over overlapping patches, those with the aneurysm at their border included."""

# Share of negative patches centred on a point of each kind; what is left over is uniform over the volume.
MISTAKE_SHARE, ARTERY_SHARE, BRIGHT_SHARE, BONE_SHARE = 0.35, 0.30, 0.25, 0.2
NEGATIVE_TRIALS = 8


@dataclass(frozen=True)
class Batch:
    """Patches of one volume.

    patches: (N, 3, S, S, S) float32, windowed. boxes: N rows (z0, z1, y0, y1, x0, x1) in the global image.
    targets: (N, S, S, S) bool. weights: (N, S, S, S) float32. global_input: (1, 3, 96, 96, 96). starts: first
    voxel of each patch in the stored volume. mirrored: the last axis of everything else runs the other way.
    """

    patches: Tensor
    boxes: list[Box]
    targets: Tensor
    weights: Tensor
    global_input: Tensor
    starts: list[Starts]
    mirrored: bool

    def voxel(self, patch: int, z: int, y: int, x: int) -> Starts:
        """Index in the stored volume of a voxel of a patch."""
        start, size = self.starts[patch], self.targets.shape[-1]
        return start[0] + z, start[1] + y, start[2] + (size - 1 - x if self.mirrored else x)


def draw_batch(rng: np.random.Generator, case: Case, size: int, positives: int, negatives: int) -> Batch:
    """Patches of `size`^3 voxels of one case; every other batch is the case's mirror image, left for right.

    The paper flips the local patch alone. Here the whole volume is mirrored, global image and boxes with it,
    so that the location feature still tells where the patch lies.
    """
    starts = [_positive_start(rng, case, size) for _ in range(positives)]
    starts += [_negative_start(rng, case, size) for _ in range(negatives)]
    mirrored = bool(rng.random() < 0.5)
    if case.global_input is None:
        case.global_input = _channels(resample_global(case.phantom.hu)[None])
    shape = case.phantom.hu.shape
    labels = [_crop(case.phantom.labels, start, size, mirrored) for start in starts]
    patches = np.stack([_crop(case.phantom.hu, start, size, mirrored) for start in starts])
    boxes = [global_box(_placed(start, size, shape, mirrored), shape, size) for start in starts]
    whole = case.global_input.flip(-1) if mirrored else case.global_input
    return Batch(
        _channels(patches),
        boxes,
        torch.from_numpy(np.stack(labels) > 0),
        torch.from_numpy(np.stack([pyramid_weights(label) for label in labels])),
        whole,
        starts,
        mirrored,
    )


def _channels(hu: NDArray[np.generic]) -> Tensor:
    """Windowed, in the plain memory format: in channels_last_3d, group normalisation's gradient is slow."""
    return to_channels(torch.from_numpy(hu)).contiguous()


def _positive_start(rng: np.random.Generator, case: Case, size: int) -> Starts:
    centres = case.centres
    centre = centres[int(rng.integers(len(centres)))]
    reach = size // 2 - POSITIVE_MARGIN_VOXELS
    return _start_around(centre + rng.integers(-reach, reach + 1, 3), size, case.phantom.hu.shape)


def _negative_start(rng: np.random.Generator, case: Case, size: int) -> Starts:
    """Preferably a patch without an aneurysm; in a volume full of them, the last one tried."""
    for _ in range(NEGATIVE_TRIALS):
        centre = _negative_centre(rng, case) + rng.integers(-size // 3, size // 3 + 1, 3)
        start = _start_around(centre, size, case.phantom.hu.shape)
        if not _crop(case.phantom.labels, start, size, mirrored=False).any():
            break
    return start


def _negative_centre(rng: np.random.Generator, case: Case) -> Points:
    if case.mistakes and rng.random() < MISTAKE_SHARE:
        return np.array(case.mistakes[int(rng.integers(len(case.mistakes)))])
    kind = rng.random()
    for share, points in (
        (ARTERY_SHARE, case.arteries),
        (BRIGHT_SHARE, case.bright),
        (BONE_SHARE, case.bone),
    ):
        if kind < share and len(points):
            return points[int(rng.integers(len(points)))]
        kind -= share
    return rng.integers(0, case.phantom.hu.shape)


def _start_around(centre: Points, size: int, shape: tuple[int, ...]) -> Starts:
    """The patch's first voxel, the patch wholly inside the volume."""
    z, y, x = (int(np.clip(c - size // 2, 0, n - size)) for c, n in zip(centre, shape, strict=True))
    return z, y, x


def _crop(array: NDArray, start: Starts, size: int, mirrored: bool) -> NDArray:
    box = array[tuple(slice(s, s + size) for s in start)]
    return np.ascontiguousarray(box[:, :, ::-1] if mirrored else box)


def _placed(start: Starts, size: int, shape: tuple[int, ...], mirrored: bool) -> Starts:
    return (start[0], start[1], shape[2] - size - start[2]) if mirrored else start
