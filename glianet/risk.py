"""Risk at every position of a fine grid of patches (paper, risk distribution map: windows overlap by about 84%).

`GLIANet.localise` gives the same box by box. A whole grid is quicker, because of what its boxes have in common:

- Boxes over the same cells of the feature map have the same risk: it is computed once and spread.
- A pooled cell is the maximum over a bin, of one to a few cells along each axis. Neighbouring boxes share their bins:
  each bin is pooled once, one axis after the other, and a box picks its 6^3.
- The 1x1x1 convolutions of the first block see one pooled cell at a time, so that they are computed once a bin too.

    features (1, 128, 24^3) -- for each interval of cells along z --> bins (6, By, Bx, 128)
                            -- two convolutions --> tables (6 By Bx, 32) and (6 By Bx, 64)
                            -- a batch of boxes in (y, x) at a time --> location (N, 32, 6^3) -> risk (N,)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from glianet.device import float32_convolutions
from glianet.errors import SettingsError, VolumeError
from glianet.network import LEAKY_SLOPE, LOCATION_SIZE, GLIANet, ResidualBlock, RiskHead, feature_cells
from glianet.tiling import PATCH_SIZE

RISK_MAP_OVERLAP = 0.84
"""Of neighbouring windows, as a share of their edge, for the risk map (paper, Figure 6)."""

BOXES_AT_ONCE = 128
"""Fewer, and calls cost more than arithmetic; many more, and activations leave the processor's cache."""

Ends = tuple[int, int]
"""First and last voxel of a box along one axis of the 96^3 global image, both inclusive."""


def risk_grid(
    network: GLIANet,
    features: Tensor,
    boxes: tuple[Sequence[Ends], Sequence[Ends], Sequence[Ends]],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(Nz, Ny, Nx) float32, 0 to 1: aneurysm risk of the patch at each position of a regular grid.

    features: (1, 128, 24, 24, 24) of `network.global_features`, any device.
    boxes: along each axis (z, y, x), the ends of the positions, as `glianet.tiling.global_box` gives them.
    progress: called with (boxes done, boxes to compute), first with 0; boxes over the same cells are one.
    Memory beyond the features: about 100 MB for boxes of one size.

    Raises VolumeError when a box covers no cell of the features.
    """
    z, y, x = (_sort(ends, length) for ends, length in zip(boxes, features.shape[2:], strict=True))
    risks = np.empty((len(z.picks), len(y.picks), len(x.picks)), np.float32)
    report = progress or _no_progress
    report(0, risks.size)
    done = 0
    with torch.inference_mode(), float32_convolutions():
        for batch in _distinct_risks(network, features, z, y, x):
            risks.flat[done : done + len(batch)] = batch.cpu().numpy()
            done += len(batch)
            report(done, risks.size)
    return risks[np.ix_(z.interval, y.interval, x.interval)]


def step_for_overlap(overlap: float, patch: int = PATCH_SIZE) -> int:
    """Voxels that the window moves so that neighbours share this fraction of the patch: 0.84 of 96 -> 15; at least 1.

    Raises SettingsError when the fraction is not from 0 to less than 1.
    """
    if not 0 <= overlap < 1:
        raise SettingsError(what=f"{overlap} is not from 0 to less than 1", where="overlap of the window")
    return max(1, round(patch * (1 - overlap)))


@dataclass(frozen=True, eq=False)
class _Axis:
    """The positions along one axis, by the cells of the feature map that they cover.

    interval: (N,) which of the U distinct intervals of cells each position covers.
    picks: (U, 6) which of the B distinct bins make up each interval.
    bins: (B, 2) first and last cell of each bin, inclusive.
    """

    interval: NDArray[np.intp]
    picks: NDArray[np.intp]
    bins: NDArray[np.intp]


def _sort(ends: Sequence[Ends], length: int) -> _Axis:
    """The positions along an axis of the feature map of `length` cells."""
    intervals, interval = _distinct(np.array([_covered(first, last, length) for first, last in ends]))
    bins, picks = _distinct(_adaptive_bins(intervals).reshape(-1, 2))
    return _Axis(interval, picks.reshape(-1, LOCATION_SIZE), bins)


def _covered(first: int, last: int, length: int) -> tuple[int, int]:
    """First and last cell under a box."""
    cells = feature_cells(first, last, length)
    if cells.stop <= cells.start:
        raise VolumeError(
            what=f"voxels {first} to {last} of the global image cover none of {length} cells",
            where="risk grid",
        )
    return cells.start, cells.stop - 1


def _distinct(pairs: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(N, 2) -> the distinct pairs (U, 2) in order, and which of them each one is, (N,)."""
    distinct, which = np.unique(pairs, axis=0, return_inverse=True)
    return distinct, which.reshape(-1)


def _adaptive_bins(intervals: NDArray[np.intp]) -> NDArray[np.intp]:
    """(U, 2) -> (U, 6, 2): first and last cell of the bins of PyTorch's adaptive pooling, which overlap or repeat.

    Bin i of n cells goes from floor(i n / 6) to below ceil((i + 1) n / 6).
    """
    start, stop = intervals[:, :1], intervals[:, 1:] + 1
    bin_number, count = np.arange(LOCATION_SIZE), stop - start
    first = start + bin_number * count // LOCATION_SIZE
    last = start - (bin_number + 1) * -count // LOCATION_SIZE - 1
    return np.stack((first, last), axis=2)


def _distinct_risks(network: GLIANet, features: Tensor, z: _Axis, y: _Axis, x: _Axis) -> Iterator[Tensor]:
    """(N,) risk of each distinct box, in the order of z, y and x, a batch at a time."""
    generator = network.global_localizer.localizer_generator
    first, *rest = (module for module in generator.modules() if isinstance(module, ResidualBlock))
    cells = features[0].permute(1, 2, 3, 0).to(first.conv1.weight).contiguous()
    picks = _pick_cells(y, x).to(cells.device)
    for bins in z.bins[z.picks]:
        pooled = _pool(_pool(_pool(cells, 0, bins), 1, y.bins), 2, x.bins)
        tables = [_table(convolution, pooled) for convolution in (first.conv1, first.res_conv)]
        for batch in picks.split(BOXES_AT_ONCE):
            inner, residual = (functional.embedding(batch, table).movedim(4, 1) for table in tables)
            location = _residual(first, inner, residual)
            for block in rest:
                location = _residual(block, block.conv1(location), block.res_conv(location))
            yield _risk(network.localizer_loss, location)


def _pick_cells(y: _Axis, x: _Axis) -> Tensor:
    """(Uy * Ux, 6, 6, 6) int64: rows of a table of 6 x By x Bx pooled cells that make up each box in (y, x)."""
    plane = y.picks[:, np.newaxis, :, np.newaxis] * len(x.bins) + x.picks[np.newaxis, :, np.newaxis]
    planes = np.arange(LOCATION_SIZE)[:, np.newaxis, np.newaxis] * (len(y.bins) * len(x.bins))
    return torch.from_numpy(planes + plane.reshape(-1, 1, LOCATION_SIZE, LOCATION_SIZE))


def _pool(cells: Tensor, axis: int, bins: NDArray[np.intp]) -> Tensor:
    """Maxima of cells over each of B bins (B, 2) along an axis, which has B cells then."""
    first, last = torch.from_numpy(bins).to(cells.device).unbind(1)
    maxima = cells.index_select(axis, first)
    for offset in range(1, 1 + int(np.ptp(bins, axis=1).max())):
        torch.maximum(maxima, cells.index_select(axis, torch.minimum(first + offset, last)), out=maxima)
    return maxima


def _table(convolution: nn.Module, cells: Tensor) -> Tensor:
    """1x1x1 convolution of cells (D, H, W, C), as rows (D * H * W, channels)."""
    convolved: Tensor = convolution(cells.unsqueeze(0).movedim(4, 1))
    return convolved.movedim(1, 4).flatten(0, 3).contiguous()


def _residual(block: ResidualBlock, inner: Tensor, residual: Tensor) -> Tensor:
    """A residual block behind the two 1x1x1 convolutions of its input."""
    inner = block.conv2(_normalise(block.bn1, inner))
    inner = block.conv3(_normalise(block.bn2, inner))
    return _normalise(block.bn3, inner.add_(residual))


def _normalise(norm: nn.GroupNorm, features: Tensor) -> Tensor:
    """As `NormActivation`, by PyTorch's own kernel: precise enough for 216 voxels, and 20 times as quick there."""
    normal = functional.group_norm(features, norm.num_groups, norm.weight, norm.bias, norm.eps)
    return functional.leaky_relu_(normal, LEAKY_SLOPE)


def _risk(head: RiskHead, location: Tensor) -> Tensor:
    """Location features (N, 32, 6, 6, 6) -> (N,) float32, 0 to 1."""
    activated = _normalise(head.bn1, head.conv1(location))
    logits = head.conv2(functional.adaptive_max_pool3d(activated, 1)).flatten(1).float()
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


def _no_progress(done: int, total: int) -> None:
    """Nobody watches."""
