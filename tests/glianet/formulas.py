"""Weights, volumes and reference values that formulas define, and a model that is quick to run."""

import json
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.model import Flip, Member, Model
from glianet.network import GLIANet
from glianet.volume import Volume

DATA = Path(__file__).parents[1] / "data"


@cache
def reference() -> dict[str, NDArray[np.generic]]:
    """What the published network gives on `formula_network` and `formula_volume`."""
    with np.load(DATA / "glianet_reference.npz") as file:
        return dict(file)


def tensor_shapes() -> dict[str, list[int]]:
    """Name and shape of each tensor of the published checkpoint."""
    shapes: dict[str, list[int]] = json.loads((DATA / "glianet_state_dict_keys.json").read_text())
    return shapes


def formula_network() -> GLIANet:
    """GLIA-Net, each tensor filled by its name alone."""
    network = GLIANet()
    network.load_state_dict({name: _formula_tensor(name, shape) for name, shape in tensor_shapes().items()})
    return network.eval()


def _formula_tensor(name: str, shape: list[int]) -> Tensor:
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) >= 2:
        fan = shape[0] * 27 / 8 if "de_conv" in name else np.prod(shape[1:])
        normal *= np.sqrt(2 / fan)
    else:
        normal = 0.1 * normal + (1 if name.endswith("weight") else 0)
    return torch.from_numpy(normal.astype(np.float32))


def formula_volume(shape: tuple[int, int, int], seed: int) -> NDArray[np.int16]:
    """(D, H, W) int16 HU: a skull with 24 bright balls in it, and noise."""
    rng = np.random.default_rng(seed)
    size = np.array(shape)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    d, h, w = shape
    volume = np.full(shape, -1000.0)
    r = ((z - d / 2) / (d * 0.48)) ** 2 + ((y - h / 2) / (h * 0.42)) ** 2 + ((x - w / 2) / (w * 0.42)) ** 2
    volume[r < 1] = 900
    volume[r < 0.82] = 40
    for _ in range(24):
        p = rng.uniform(0.25, 0.75, 3) * size
        radius, hu = rng.uniform(1.5, 7), rng.uniform(150, 600)
        volume[(z - p[0]) ** 2 + (y - p[1]) ** 2 + (x - p[2]) ** 2 < radius**2] = hu
    volume += rng.normal(0, 12, shape)
    return np.rint(volume).astype(np.int16)


def volume_of(hu: NDArray[np.int16]) -> Volume:
    """With axes along the patient's and slices of 0.6 mm, rows and columns of 0.5 mm."""
    return Volume(hu, np.diag([0.6, 0.5, 0.5, 1.0]))


class BrightnessSegmenter:
    """Stands in for the local network where only the sliding window is tested.

    A voxel's logit rises with the upper HU window and with the location feature, so that patches disagree about the
    voxels that they share. Patches without tissue get a probability far below a half.
    """

    backend = "torch"
    precision = "float32"

    def __init__(self, largest_batch: int = 1000) -> None:
        self.largest_batch = largest_batch
        self.batches: list[int] = []

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        if len(hu) > self.largest_batch:
            raise torch.OutOfMemoryError("too many patches at once")
        self.batches.append(len(hu))
        place = location[:, 0, 0, 0, 0].clamp(-1, 1)
        brightness = (hu.float() - 200).div_(600).clamp_(0, 1)
        return torch.sigmoid(brightness.mul_(12).add_(place[:, None, None, None] - 4))


def brightness_model(
    segment: BrightnessSegmenter | None = None, flips: tuple[Flip, ...] = ((),), members: int = 1
) -> Model:
    """The published network's global branch, with formula weights, and a local branch that is quick to run."""
    one = Member(formula_network(), segment or BrightnessSegmenter())
    return Model((one,) * members, torch.device("cpu"), flips)
