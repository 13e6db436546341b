"""Chosen patches of a volume, evaluated by the clock: one at a time, or in batches as the engine does."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.benchmark.yardstick import evaluate_plainly
from glianet.global_volume import resample_global
from glianet.locator import Locator
from glianet.model import Model
from glianet.network import GLIANet
from glianet.tiling import PATCH_SIZE, global_box, pad_to_patch
from glianet.windows import to_channels

Evaluate = Callable[[Sequence[int]], Tensor]
"""Numbers of N patches -> (N, 96, 96, 96) float32 probability."""


class Patches:
    """Chosen patches of a volume on a device, (N, 96, 96, 96) int16 HU, and the global image with their boxes."""

    def __init__(
        self, volume_hu: NDArray[np.int16], starts: Sequence[Sequence[int]], device: torch.device
    ) -> None:
        """starts: first voxels in the volume padded to at least a patch along each axis."""
        hu, _ = pad_to_patch(volume_hu)
        windows = (tuple(slice(first, first + PATCH_SIZE) for first in start) for start in starts)
        self.hu = torch.from_numpy(np.stack([hu[window] for window in windows])).to(device)
        self.shape = hu.shape
        self.starts = [(z, y, x) for z, y, x in starts]
        self.boxes = [global_box(start, hu.shape) for start in starts]
        self.global_channels = to_channels(torch.from_numpy(resample_global(hu)[np.newaxis]).to(device))
        self.device = device

    def __len__(self) -> int:
        return len(self.hu)


def time_patches(evaluate: Evaluate, patches: Patches, batch_size: int) -> Iterator[tuple[float, Tensor]]:
    """Seconds and probability of each patch, after the first batch has been computed once to warm up.

    The seconds are those of its batch, divided by the patches in it.
    """
    numbers = range(len(patches))
    evaluate(numbers[:batch_size])
    for first in numbers[::batch_size]:
        batch = numbers[first : first + batch_size]
        started = read_clock(patches.device)
        probability = evaluate(batch)
        seconds = (read_clock(patches.device) - started) / len(batch)
        yield from ((seconds, one) for one in probability)


def read_clock(device: torch.device) -> float:
    """Seconds; on CUDA once everything asked for has been computed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def by_yardstick(network: GLIANet, patches: Patches) -> Evaluate:
    """The whole network for every patch, in the default memory layout."""
    tensors = {
        name: tensor.to(patches.device).clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }

    def evaluate(numbers: Sequence[int]) -> Tensor:
        return torch.stack([evaluate_one(number) for number in numbers])

    def evaluate_one(number: int) -> Tensor:
        patch = to_channels(patches.hu[number : number + 1]).contiguous()
        whole = patches.global_channels.contiguous()
        logits, _risk = evaluate_plainly(tensors, patch, whole, patches.boxes[number])
        return torch.softmax(logits, dim=1)[0, 1]

    return evaluate


def by_model(model: Model, patches: Patches) -> Evaluate:
    """As the engine does it: the global branch has been computed once, its location feature and the rest by patch."""
    locators = [
        Locator(member, flip, patches.shape, patches.global_channels)
        for member in model.members
        for flip in model.flips
    ]

    def evaluate(numbers: Sequence[int]) -> Tensor:
        hu, starts = patches.hu[list(numbers)], [patches.starts[number] for number in numbers]
        return torch.stack([locator.probability(hu, starts) for locator in locators]).mean(0)

    return evaluate
