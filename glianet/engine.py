"""Runs the network over a whole volume with a sliding window."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.device import choose_device
from glianet.errors import OutOfMemory, SettingsError
from glianet.global_volume import resample_global
from glianet.network import GLIANet
from glianet.scores import Scores, coverage
from glianet.tiling import PATCH_SIZE, global_box, pad_to_patch, patch_starts
from glianet.volume import Volume
from glianet.windows import AIR_AND_BELOW_HU, to_channels

RISKS_AT_ONCE = 64
"""Patches whose risk is computed together: a location feature is 28 kB and its inputs 450 kB."""

Progress = Callable[[int, int], None]
Start = tuple[int, int, int]
Starts = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class EngineSettings:
    """step: voxels that the window moves, 1 to 96 (paper, clinical use: 32; published configuration: 48).

    device: see `glianet.device`. batch_size: patches at once, halved when a CUDA device has not enough memory.
    exact: compute every patch, also those without a voxel above 0 HU.
    """

    step: int = 48
    device: str = "auto"
    batch_size: int = 1
    exact: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.step <= PATCH_SIZE:
            raise SettingsError(
                what=f"{self.step} is not between 1 and {PATCH_SIZE} voxels", where="step of the window"
            )
        if self.batch_size < 1:
            raise SettingsError(what=f"{self.batch_size} is less than 1", where="batch size")


def score_volume(
    volume: Volume,
    network: GLIANet,
    settings: EngineSettings = EngineSettings(),
    progress: Progress | None = None,
) -> Scores:
    """Mean aneurysm probability of each voxel, and risk of each patch, over all positions of the window.

    A patch without any voxel above 0 HU, where every input channel is 0, is not computed unless `settings.exact`:
    its probability counts as 0. Risks depend on the global image alone and are computed for all. A volume smaller
    than a patch is padded with its lowest value, and the padding is cropped from the result.

    The network is moved to the device and its memory format. `progress` is called with (patches done, patches to
    compute), first with 0; an exception that it raises ends the computation and passes through.
    Memory beyond the volume: 4 bytes a voxel for the result, and the activations of a batch (0.6 GB a patch).

    Raises OutOfMemory when the device cannot hold one patch, DeviceError when it does not exist.
    """
    device = choose_device(settings.device)
    network = network.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    hu, before = pad_to_patch(volume.hu)
    starts = _all_starts(hu.shape, settings.step)
    positions = list(product(*starts))
    wanted = [start for start in positions if settings.exact or _holds_tissue(hu, start)]
    with torch.inference_mode(), _float32_convolutions():
        locator = _Locator(network, hu, device)
        risk = _risks(locator, positions).reshape([len(axis) for axis in starts])
        patches = _patch_probabilities(hu, wanted, locator, settings.batch_size, progress or _no_progress)
        probability = _mean(patches, hu.shape, starts)
    return Scores(
        probability=_crop(probability, before, volume.shape),
        patch_risk=risk,
        starts=_shift(starts, before),
        step=settings.step,
        exact=settings.exact,
        patches_computed=len(wanted),
        patches_skipped=len(positions) - len(wanted),
    )


def _all_starts(shape: Sequence[int], step: int) -> Starts:
    z, y, x = (patch_starts(length, PATCH_SIZE, step) for length in shape)
    return z, y, x


def _holds_tissue(hu: NDArray[np.int16], start: Start) -> bool:
    return bool((hu[_window(start)] > AIR_AND_BELOW_HU).any())


def _float32_convolutions() -> AbstractContextManager[None]:
    """Convolutions on CUDA in full float32, not TF32, and by algorithms that give the same bytes every time."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


class _Locator:
    """What the global positioning network knows about patches of one volume."""

    def __init__(self, network: GLIANet, hu: NDArray[np.int16], device: torch.device) -> None:
        self.network = network
        self.device = device
        self.shape = hu.shape
        self.features = network.global_features(self.channels(resample_global(hu)[np.newaxis]))

    def channels(self, hu: NDArray[np.generic]) -> Tensor:
        """(N, D, H, W) HU -> (N, 3, D, H, W) on the device."""
        return to_channels(torch.from_numpy(hu).to(self.device))

    def locate(self, positions: Sequence[Start]) -> tuple[Tensor, Tensor]:
        """Location features (N, 32, 6, 6, 6) and risk logits (N, 2)."""
        return self.network.localise(self.features, [global_box(start, self.shape) for start in positions])


def _risks(locator: _Locator, positions: Sequence[Start]) -> NDArray[np.float32]:
    """(N,) float32: risk that each patch holds an aneurysm."""
    chunks = [positions[first : first + RISKS_AT_ONCE] for first in range(0, len(positions), RISKS_AT_ONCE)]
    return np.concatenate([_aneurysm(locator.locate(chunk)[1]).cpu().numpy() for chunk in chunks])


def _patch_probabilities(
    hu: NDArray[np.int16], positions: Sequence[Start], locator: _Locator, batch_size: int, progress: Progress
) -> Iterator[tuple[Start, NDArray[np.float32]]]:
    """Each patch's start and its (96, 96, 96) float32 aneurysm probability."""
    progress(0, len(positions))
    done = 0
    while done < len(positions):
        batch = positions[done : done + batch_size]
        try:
            probabilities = _segment(hu, batch, locator)
        except torch.OutOfMemoryError:
            batch_size = _smaller_batch(len(batch), locator.device)
            continue
        yield from zip(batch, probabilities, strict=True)
        done += len(batch)
        progress(done, len(positions))


def _segment(hu: NDArray[np.int16], batch: Sequence[Start], locator: _Locator) -> NDArray[np.float32]:
    patches = locator.channels(np.stack([hu[_window(start)] for start in batch]))
    location, _ = locator.locate(batch)
    return _aneurysm(locator.network.segment(patches, location)).cpu().numpy()


def _smaller_batch(size: int, device: torch.device) -> int:
    if size == 1:
        raise OutOfMemory(
            what="there is not enough memory for one patch",
            where=f"device {device}",
            retry_helps=True,
            advice="Free the device of other programs, or run on the CPU",
        )
    torch.cuda.empty_cache()
    return size // 2


def _aneurysm(logits: Tensor) -> Tensor:
    """Softmax probability of channel 1 of two: (N, 2, ...) -> (N, ...)."""
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


def _mean(
    patches: Iterator[tuple[Start, NDArray[np.float32]]], shape: tuple[int, int, int], starts: Starts
) -> NDArray[np.float32]:
    """(D, H, W) float32: sum over patches, divided by the number of positions of the window that cover a voxel.

    Slices that no patch touched are never written, so that the system gives them no memory.
    """
    total = np.zeros(shape, np.float32)
    touched = np.zeros(shape[0], bool)
    for start, probability in patches:
        total[_window(start)] += probability
        touched[_window(start)[0]] = True
    along_z, along_y, along_x = (
        coverage(axis, length).sum(axis=1) for axis, length in zip(starts, shape, strict=True)
    )
    plane = np.outer(along_y, along_x)
    for k in np.flatnonzero(touched):
        total[k] /= plane * along_z[k]
    return total


def _window(start: Start) -> tuple[slice, slice, slice]:
    z, y, x = (slice(first, first + PATCH_SIZE) for first in start)
    return z, y, x


def _crop(padded: NDArray[np.float32], before: Start, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    z, y, x = (slice(first, first + length) for first, length in zip(before, shape, strict=True))
    return np.ascontiguousarray(padded[z, y, x])


def _shift(starts: Starts, before: Start) -> Starts:
    z, y, x = (tuple(start - first for start in axis) for axis, first in zip(starts, before, strict=True))
    return z, y, x


def _no_progress(done: int, total: int) -> None:
    """Nobody watches."""
