"""Runs any model that can be trained over a whole volume with a sliding window, in plain float32.

The node has its own engine (`glianet.engine`), quicker and for GLIA-Net alone; this one is for comparing models.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.device import choose_device, float32_convolutions
from glianet.device_errors import device_errors
from glianet.errors import SettingsError
from glianet.global_volume import resample_global
from glianet.head import patches_worth_computing
from glianet.probability_store import ProbabilityStore
from glianet.scores import coverage
from glianet.slab import Slab
from glianet.tiling import PATCH_SIZE, global_box, pad_to_patch
from glianet.volume import Volume
from glianet.window_grid import Index, WindowGrid, window_grid
from glianet.windows import to_channels
from training.models.build_model import SegmentationModel

Progress = Callable[[int, int], None]


def score_volume_with(
    model: SegmentationModel,
    volume_hu: NDArray[np.int16],
    *,
    step: int = 48,
    device: torch.device | str,
    batch_size: int = 1,
    exact: bool = False,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """(D, H, W) float32, 0 to 1: mean aneurysm probability over the patches that cover a voxel.

    volume_hu: (D, H, W) int16, HU. step: voxels that the window moves, 1 to 96. batch_size: patches at once. The model
    is moved to the device and evaluated in evaluation mode; its mode is as before when this returns.

    Unless `exact`, patches of air (no voxel above 0 HU) and outside the head count as 0, as in the node's engine. A
    volume smaller than a patch is padded with its lowest value, and the padding is cropped from the result.
    `progress` is called with (patches done, patches to be done). Memory beyond volume and result: 4 bytes a voxel of
    up to 192 slices, and the activations of a batch.

    Raises VolumeError, SettingsError or DeviceError for arguments out of range, OutOfMemory when the device cannot
    hold a batch, BackendError when the model gives what is no probability.
    """
    _check(volume_hu, step, batch_size)
    device = choose_device(str(device))
    hu, before = pad_to_patch(volume_hu)
    grid = window_grid(_shape(hu), step)
    wanted = np.ones(grid.patches, bool) if exact else patches_worth_computing(hu, grid)
    store = ProbabilityStore(_shape(volume_hu), before, None)
    counts = [coverage(starts, length).sum(axis=1) for starts, length in zip(grid.starts, grid.shape, strict=True)]
    with device_errors(device), _evaluation(model, device), torch.inference_mode(), float32_convolutions():
        window = _Window(model, hu, grid, device)
        for first, sums in _slabs(window, wanted, batch_size, progress):
            store.put(first, sums, counts)
    return store.probability


def _check(volume_hu: NDArray[np.int16], step: int, batch_size: int) -> None:
    Volume(volume_hu, np.eye(4))
    if not 1 <= step <= PATCH_SIZE:
        raise SettingsError(what=f"{step} is not between 1 and {PATCH_SIZE} voxels", where="step of the window")
    if batch_size < 1:
        raise SettingsError(what=f"{batch_size} is less than 1", where="batch size")


def _shape(hu: NDArray[np.int16]) -> Index:
    depth, height, width = hu.shape
    return depth, height, width


@contextmanager
def _evaluation(model: SegmentationModel, device: torch.device) -> Iterator[None]:
    """On the device and in evaluation mode: in training mode, batch normalisation takes the patches' own mean.

    To be entered before inference mode: weights that are moved within it could not be trained any more.
    """
    before = [(module, module.training) for module in model.modules()]
    model.to(device).eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class _Window:
    """A model on one volume: gives the probability of patches."""

    def __init__(
        self, model: SegmentationModel, hu: NDArray[np.int16], grid: WindowGrid, device: torch.device
    ) -> None:
        self.grid = grid
        self.device = device
        self._model = model
        self._hu = hu
        whole = torch.from_numpy(resample_global(hu)[np.newaxis]).to(device)
        self._features = model.features(to_channels(whole))

    def probability(self, patches: list[Index]) -> Tensor:
        """(N, 96, 96, 96) float32."""
        hu = torch.from_numpy(np.stack([self._hu[self.grid.window(patch)] for patch in patches]))
        boxes = [global_box(self.grid.start(patch), self.grid.shape) for patch in patches]
        output = self._model.segment(to_channels(hu.to(self.device)), self._features, boxes)
        return output.logits.float().softmax(dim=1)[:, 1]


def _slabs(
    window: _Window, wanted: NDArray[np.bool_], batch_size: int, progress: Progress | None
) -> Iterator[tuple[int, Tensor]]:
    """First slice and sums (slices, H, W) of the volume, layer by layer, as no further patch reaches them."""
    slab, grid = Slab(window.grid, window.device), window.grid
    done, total = 0, int(np.count_nonzero(wanted))
    for layer, (start, following) in enumerate(pairwise((*grid.starts[0], grid.shape[0]))):
        waiting = (patch for patch in grid if patch[0] == layer and wanted[patch])
        while batch := list(islice(waiting, batch_size)):
            for patch, probability in zip(batch, window.probability(batch), strict=True):
                slab.add(grid.window(patch), probability)
            done += len(batch)
            if progress is not None:
                progress(done, total)
        yield start, slab.move_to(following)
