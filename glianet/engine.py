"""Runs a model over a whole volume with a sliding window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.decisions import Decisions
from glianet.device import float32_convolutions
from glianet.device_errors import device_errors, is_lost, runs_out_of_memory
from glianet.errors import BackendError, SettingsError, WeightsError, no_room_for_a_patch
from glianet.head import patches_worth_computing
from glianet.known_patch import first_line
from glianet.locator import Locator, locate_volume
from glianet.model import Model
from glianet.probability_store import ProbabilityStore
from glianet.risk import step_for_overlap
from glianet.scores import RiskGrid, Scores, coverage
from glianet.slab import Slab
from glianet.tiling import PATCH_SIZE, pad_to_patch
from glianet.upload import upload
from glianet.volume import Volume
from glianet.window_grid import Index, WindowGrid, window_grid

Progress = Callable[[int, int], None]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class EngineSettings:
    """step: voxels that the window moves, 1 to 96 (paper, clinical use: 32; published configuration: 48).

    threshold: where given, it is enough to know which voxels' mean probability exceeds it, and that of those voxels;
    patches that cannot change either are left out. None: the probability of every voxel of the head is wanted.
    exact: compute every patch, also those of air and outside the head, whatever the threshold.
    risk_overlap: where given, the risk is computed also for patches that overlap by so much of their edge (paper, for
    the risk map: about 0.84).
    batch_size: patches at once; 0: as the model says. Halved when memory runs out.
    """

    step: int = 48
    threshold: float | None = None
    exact: bool = False
    risk_overlap: float | None = None
    batch_size: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.step <= PATCH_SIZE:
            raise SettingsError(
                what=f"{self.step} is not between 1 and {PATCH_SIZE} voxels", where="step of the window"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise SettingsError(what=f"{self.threshold} is not between 0 and 1", where="lesion threshold")
        if self.risk_overlap is not None and not 0 <= self.risk_overlap < 1:
            raise SettingsError(what=f"{self.risk_overlap} is not from 0 to below 1", where="overlap of the risk map")
        if self.batch_size < 0:
            raise SettingsError(what=f"{self.batch_size} is less than 0", where="batch size")


def score_volume(
    volume: Volume,
    model: Model,
    settings: EngineSettings = EngineSettings(),
    progress: Progress | None = None,
) -> Scores:
    """Mean aneurysm probability of each voxel, and risk of each patch, over all positions of the window.

    Unless `settings.exact`, a patch without any voxel above 0 HU, where every input channel
    is 0, and a patch outside the head (`glianet.head`) are not computed: their probability counts as 0. With a
    `settings.threshold`, neither are patches that cannot lift any voxel above it (`glianet.decisions`). Risks depend on
    the global image alone and are computed for all. A volume smaller than a patch is padded with its lowest value, and
    the padding is cropped from the result.

    `progress` is called with (patches dealt with, patches that may have to be computed), with 0 as often as the risks
    take, so that a watcher sees it live; an exception that it raises ends the computation and passes through.
    Memory beyond the volume: 4 bytes a voxel of the up to 192 slices being worked on, the activations of a batch
    (0.6 GB a patch), and 4 bytes a voxel that scores above the threshold, or without a threshold all voxels.

    Raises OutOfMemory when the device cannot hold one patch or the volume, DeviceLost when it fails for good,
    BackendError when a patch cannot be computed, WeightsError when what is computed is no probability.
    """
    hu, before = pad_to_patch(volume.hu)
    grid = window_grid(hu.shape, settings.step)
    threshold = None if settings.exact else settings.threshold
    wanted = np.ones(grid.patches, bool) if settings.exact else patches_worth_computing(hu, grid)
    store = ProbabilityStore(volume.shape, before, threshold)
    counts = [coverage(starts, length).sum(axis=1) for starts, length in zip(grid.starts, grid.shape, strict=True)]
    with device_errors(model.device), torch.inference_mode(), float32_convolutions():
        locators = locate_volume(model, hu)
        report = progress or _no_progress
        alive = _Alive(report, int(np.count_nonzero(wanted)))
        risk = _mean_risk(locators, grid, alive)
        fine_risk = _fine_risk(locators, grid.shape, before, settings.risk_overlap, alive)
        batch_size = settings.batch_size or model.batch_size
        run = _Run(upload(hu, model.device), grid, locators, settings, batch_size, report)
        for first, sums in run.slabs(wanted):
            store.put(first, sums, counts)
            del sums  # the next slab is made meanwhile
    return Scores(
        probability=store.probability,
        risk=RiskGrid(risk, _shift(grid.starts, before)),
        fine_risk=fine_risk,
        step=settings.step,
        exact=settings.exact,
        threshold=threshold,
        patches_computed=run.computed,
        patches_skipped=int(np.prod(grid.patches)) - run.computed,
        computation=model.description,
    )


def _mean_risk(locators: Sequence[Locator], grid: WindowGrid, alive: Progress) -> NDArray[np.float32]:
    """(Nz, Ny, Nx): mean over members and flips. Raises WeightsError where it is no number."""
    total = np.zeros(grid.patches, np.float64)
    for locator in locators:
        total += locator.risks(grid, alive)
    if not np.isfinite(total).all():
        raise WeightsError(
            what="the global network gives risks that are no numbers",
            where="weights",
            advice="Train or import them again: some value is far too large",
        )
    return (total / len(locators)).astype(np.float32)


class _Alive:
    """Progress of what comes before the first patch: none done, but whoever waits for a sign gets one."""

    def __init__(self, report: Progress, patches: int) -> None:
        self._report = report
        self._patches = patches

    def __call__(self, done: int, total: int) -> None:
        self._report(0, self._patches)


def _fine_risk(
    locators: Sequence[Locator], shape: Index, before: Index, overlap: float | None, alive: Progress
) -> RiskGrid | None:
    if overlap is None:
        return None
    grid = window_grid(shape, step_for_overlap(overlap))
    return RiskGrid(_mean_risk(locators, grid, alive), _shift(grid.starts, before))


class _Run:
    """One pass of the window over a volume: layer by layer, put-off patches once their neighbours are known."""

    def __init__(
        self,
        hu: Tensor,
        grid: WindowGrid,
        locators: Sequence[Locator],
        settings: EngineSettings,
        batch_size: int,
        progress: Progress,
    ) -> None:
        self.computed = 0
        self._hu = hu
        self._grid = grid
        self._locators = locators
        self._settings = settings
        self._progress = progress
        self._batch_size = batch_size
        self._slab = Slab(grid, hu.device)
        self._done = 0

    def slabs(self, wanted: Flags) -> Iterator[tuple[int, Tensor]]:
        """First slice and sums (slices, H, W) of the volume, from its first slice to its last, as they are finished."""
        self._total = int(np.count_nonzero(wanted))
        self._progress(0, self._total)
        decisions, put_off = self._decide(wanted)
        starts, ready = self._grid.axes[0].starts, 0
        for layer, start in enumerate(starts):
            while ready < len(starts) and starts[ready] < start + PATCH_SIZE:
                self._compute(_patches(wanted & ~put_off, ready), decisions, only_if_needed=False)
                ready += 1
            if decisions is not None:
                self._look(decisions, layer)
            self._compute(_patches(put_off, layer), decisions, only_if_needed=True)
            following = starts[layer + 1] if layer + 1 < len(starts) else self._grid.shape[0]
            first = 0 if layer == 0 else start
            yield first, self._slab.move_to(following)

    def _decide(self, wanted: Flags) -> tuple[Decisions | None, Flags]:
        threshold = self._settings.threshold
        if threshold is None or self._settings.exact:
            return None, np.zeros_like(wanted)
        decisions = Decisions(self._grid, wanted, threshold)
        return decisions, decisions.put_off(wanted)

    def _look(self, decisions: Decisions, layer: int) -> None:
        """Tells what the sums are in the cells of a layer of patches."""
        _, height, width = (slice(0, len(axis.cuts) - 1) for axis in self._grid.axes)
        cells = (self._grid.axes[0].cells_of(layer), height, width)
        decisions.see(cells, self._slab.largest(cells))

    def _compute(self, patches: list[Index], decisions: Decisions | None, *, only_if_needed: bool) -> None:
        """Computes patches of one layer, those that are needed, batch by batch."""
        waiting = iter(patches)
        while batch := list(islice(waiting, self._batch_size)):
            needed = [patch for patch in batch if decisions is None or not only_if_needed or decisions.needs(patch)]
            self._compute_batch(needed)
            if decisions is not None:
                self._tell(decisions, needed, look=only_if_needed)
            self._done += len(batch)
            self._progress(self._done, self._total)

    def _tell(self, decisions: Decisions, patches: list[Index], *, look: bool) -> None:
        for patch in patches:
            decisions.close(patch)
            if look:
                cells = self._grid.cells_of(patch)
                decisions.see(cells, self._slab.largest(cells))

    def _compute_batch(self, patches: list[Index]) -> None:
        """Adds the patches to the slab; in parts, and from now on in smaller batches, where memory runs out."""
        while patches:
            batch = patches[: self._batch_size]
            probability = self._probability_if_it_fits(batch)
            if probability is None:
                self._batch_size = _smaller_batch(len(batch), self._hu.device)
                continue
            for patch, values in zip(batch, probability, strict=True):
                self._slab.add(self._grid.window(patch), values)
            self.computed += len(batch)
            patches = patches[len(batch) :]

    def _probability_if_it_fits(self, patches: Sequence[Index]) -> Tensor | None:
        """As `_probability`; None where memory runs out: what was on the way is free by then."""
        try:
            return self._probability(patches)
        except RuntimeError as problem:
            if runs_out_of_memory(problem):
                return None
            if is_lost(problem):
                raise
            raise BackendError(
                what=f"a patch cannot be computed ({first_line(problem)})",
                where=f"device {self._hu.device}",
                retry_helps=True,
                advice="Choose another backend or precision where it happens again",
            ) from problem

    def _probability(self, patches: Sequence[Index]) -> Tensor:
        """(N, 96, 96, 96) float32: mean over members and flips."""
        hu = torch.stack([self._hu[self._grid.window(patch)] for patch in patches])
        starts = [self._grid.start(patch) for patch in patches]
        total = self._locators[0].probability(hu, starts)
        for locator in self._locators[1:]:
            total = total + locator.probability(hu, starts)
        return total if len(self._locators) == 1 else total / len(self._locators)


def _patches(flags: Flags, layer: int) -> list[Index]:
    return [(layer, int(row), int(column)) for row, column in np.argwhere(flags[layer])]


def _smaller_batch(size: int, device: torch.device) -> int:
    if size == 1:
        raise no_room_for_a_patch(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return size // 2


def _shift(
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], before: Index
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    z, y, x = (tuple(start - first for start in axis) for axis, first in zip(starts, before, strict=True))
    return z, y, x


def _no_progress(done: int, total: int) -> None:
    """Nobody watches."""
