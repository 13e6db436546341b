"""Proves on a patch that is known that a way to compute gives what the network gives as it is written down."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glianet.allocator import give_back_freed_memory
from glianet.device import float32_convolutions
from glianet.device_errors import is_lost, runs_out_of_memory
from glianet.errors import BackendError, no_room_for_a_patch
from glianet.network import LOCATION_CHANNELS, LOCATION_SIZE, GLIANet
from glianet.segmenters import Segmenter, plain_probability

LARGEST_DIFFERENCE = 1e-3
"""How far a probability of the check patch may be, in float32, from that of the network as it is written down."""

LARGEST_LOG_DIFFERENCE = 0.02
"""And how far its natural logarithm, where it is below one half: thirty times what was seen. Weights that find nothing
in the check patch tell a library that computes something else by this alone."""

LARGEST_MEAN_LOG_DIFFERENCE = 0.5
"""The same in fewer bits, on average: ten times what was seen."""

CHANGED_SHARE = {"bfloat16": 0.15, "float16": 0.05}
"""In fewer bits, single voxels at the edge of a lesion differ by up to 0.6. What must agree there is on which side of
one half they are: as many as this share of the positive ones may change, about three times what was seen."""

LEAST_PROBABILITY = 1e-30
FEW_VOXELS = 8
LARGEST_MEAN_DIFFERENCE = 0.02
"""And over all voxels: four times what was seen with weights by formula, that give no clear answer anywhere."""

KNOWN_SEED = 20210100
KNOWN_SIZE = 48
"""Edge of the patch, in voxels, where any size can be computed: a start is waited for."""


@dataclass(frozen=True, eq=False)
class KnownPatch:
    """HU (1, S, S, S) int16, a location (1, 32, 6, 6, 6), and the probability (1, S, S, S) that belongs to them."""

    hu: Tensor
    location: Tensor
    expected: Tensor


def known_patch(network: GLIANet, size: int = KNOWN_SIZE) -> KnownPatch:
    """A patch that a formula makes, computed on the CPU in float32 by the network as it is written down.

    On the CPU, whatever the device is: a device cannot vouch for itself.
    """
    hu, location = _made_patch(size)
    with torch.inference_mode():
        known = KnownPatch(hu, location, plain_probability(_on_cpu(network), hu, location))
    give_back_freed_memory()  # of a way to compute that is not taken again
    return known


def check_segmenter(segment: Segmenter, known: KnownPatch, device: torch.device) -> float:
    """The largest difference in probability to what is known.

    Raises BackendError when the two differ by more than the precision explains: a library that computes something else
    must not stay unnoticed. OutOfMemory when the device cannot hold the patch.
    """
    with torch.inference_mode(), float32_convolutions():
        try:
            found = _computed(segment, known, device).cpu()
        except RuntimeError as problem:
            if runs_out_of_memory(problem):
                raise no_room_for_a_patch(device) from problem
            if is_lost(problem):
                raise
            why = f"it fails on a patch that is known ({first_line(problem)})"
            raise unfit(segment.backend, segment.precision, why) from problem
    difference = float((found - known.expected).abs().max())
    if not all(_agrees(one, known.expected[0], segment.precision) for one in found):
        why = f"its probabilities of a patch that is known are off by {difference:.2g}, more than rounding explains"
        raise unfit(segment.backend, segment.precision, why)
    return difference


def unfit(backend: str, precision: str, why: str) -> BackendError:
    """The error of a way to compute that is not to be used."""
    return BackendError(
        what=why, where=f"backend {backend!r} in {precision}", advice='Choose another backend or precision, or "auto"'
    )


def first_line(problem: RuntimeError) -> str:
    """Of what a library says: the rest is its own source."""
    return str(problem).strip().partition("\n")[0]


def _on_cpu(network: GLIANet) -> GLIANet:
    if next(network.parameters()).device.type == "cpu":
        return network
    return deepcopy(network).cpu()


def _computed(segment: Segmenter, known: KnownPatch, device: torch.device) -> Tensor:
    """(N, S, S, S) of the known patch; on CUDA several times, in batches with another patch before or after it."""
    hu, location = known.hu.to(device), known.location.to(device)
    if device.type != "cuda":
        return segment(hu, location)
    other = torch.cat((hu, hu.flip(1)))  # the second call must not give what was recorded in the first
    locations = torch.cat((location, location))
    return torch.cat((segment(other, locations)[:1], segment(other.flip(0), locations)[1:], segment(hu, location)))


def _agrees(found: Tensor, expected: Tensor, precision: str) -> bool:
    """False also where anything found is not a number."""
    difference, positive = (found - expected).abs(), expected > 0.5
    logarithms = [torch.log(one[~positive].double().clamp(min=LEAST_PROBABILITY)) for one in (found, expected)]
    apart = (logarithms[0] - logarithms[1]).abs()
    if precision == "float32":
        largest = apart.max() if apart.numel() else apart.sum()
        return bool(difference.max() <= LARGEST_DIFFERENCE) and bool(largest <= LARGEST_LOG_DIFFERENCE)
    changed = int(((found > 0.5) != positive).sum())
    allowed = CHANGED_SHARE[precision] * int(positive.sum()) + FEW_VOXELS
    means = difference.mean() <= LARGEST_MEAN_DIFFERENCE, apart.sum() <= LARGEST_MEAN_LOG_DIFFERENCE * positive.numel()
    return all(map(bool, means)) and changed <= allowed


def _made_patch(size: int) -> tuple[Tensor, Tensor]:
    """HU (1, S, S, S) int16 of bright tubes and balls in brain and bone, and a location (1, 32, 6, 6, 6)."""
    rng = np.random.default_rng(KNOWN_SEED)
    z, y, x = np.mgrid[:size, :size, :size]
    hu = np.full((size,) * 3, 40.0)
    hu[(z > 80) & (y > 20)] = 900
    hu[(z < 8) & (x < 60)] = -1000
    for centre in rng.uniform(12, 76, (12, 3)):
        distance = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        hu[distance < rng.uniform(2, 8) ** 2] = rng.uniform(150, 500)
        hu[((y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 4) & (z < 80)] = 300
    hu += rng.normal(0, 12, hu.shape)
    location = rng.uniform(-0.5, 1, (1, LOCATION_CHANNELS[-1], *[LOCATION_SIZE] * 3))
    return torch.from_numpy(hu.round().astype(np.int16)[np.newaxis]), torch.from_numpy(location).float()
