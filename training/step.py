"""One optimisation step on one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.losses import Losses, combined_loss, plain_cross_entropy
from training.models.build_model import LocatedModel, SegmentationModel
from training.precision import computing_in
from training.processes import ALONE, Processes, average_gradients
from training.recipe import Recipe
from training.samples import Patches
from training.state import TrainingState, update_average

BLURRED_VOXELS = 4
"""Around a target, what is called one is no mistake: outlines are blurred."""


@dataclass(frozen=True)
class StepResult:
    """What a step measured before it changed the weights.

    overlap: hard dice of the patches with a target (nan without one). mistakes: for each group of patches, (patch, z,
    y, x), the voxel of the greatest wrong probability above 0.5 of each patch that has one.
    """

    total: float
    dice: float
    cross: float
    risk: float
    overlap: float
    gradient: float
    mistakes: list[list[tuple[int, int, int, int]]]


def take_step(
    state: TrainingState,
    batch: Sequence[Patches],
    recipe: Recipe,
    dtype: torch.dtype = torch.float32,
    processes: Processes = ALONE,
) -> StepResult:
    """Forward, loss, backward, clip, Adam, running mean; the state's step moves on by one.

    batch: groups of patches, each of one volume.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.rate_at(state.step)
    _rest_global_branch(state.model, rests=bool(state.step % recipe.optimiser.global_every))
    device = next(state.model.parameters()).device
    moved = [patches.to(device) for patches in batch]
    with computing_in(dtype, device):
        logits, risk_logits = _forward(state.model.train(), moved)
    losses = _loss(state.model, logits, risk_logits, moved, recipe)
    gradient = _descend(state, losses.total, recipe, processes)
    update_average(state.average, state.model, recipe.optimiser.average, state.step)
    state.step += 1
    return _result(losses, logits, moved, gradient)


def _rest_global_branch(model: SegmentationModel, *, rests: bool) -> None:
    """Its gradient costs as much as that of several patches: with `global_every` it learns less often."""
    if isinstance(model, LocatedModel):
        model.network.global_localizer.feature_generator.requires_grad_(not rests)


def _forward(model: SegmentationModel, batch: Sequence[Patches]) -> tuple[Tensor, Tensor | None]:
    """Group by group where the model looks at the whole volume, else all patches at once."""
    if not isinstance(model, LocatedModel):
        channels = torch.cat([patches.channels for patches in batch])
        output = model(channels, batch[0].whole, [box for patches in batch for box in patches.boxes])
        return output.logits, None
    outputs = [model(patches.channels, patches.whole, patches.boxes) for patches in batch]
    return torch.cat([one.logits for one in outputs]), torch.cat([_known(one.risk_logits) for one in outputs])


def _known(risk_logits: Tensor | None) -> Tensor:
    assert risk_logits is not None
    return risk_logits


def _loss(
    model: SegmentationModel,
    logits: Tensor,
    risk_logits: Tensor | None,
    batch: Sequence[Patches],
    recipe: Recipe,
) -> Losses:
    targets = torch.cat([patches.targets for patches in batch])
    kind = model.loss if recipe.loss.kind == "auto" else recipe.loss.kind
    if kind == "cross-entropy":
        return plain_cross_entropy(logits, targets)
    weights = torch.cat([patches.weights for patches in batch])
    positive = torch.cat([patches.positive for patches in batch])
    return combined_loss(logits, risk_logits, targets, weights, positive, recipe.loss)


def _descend(state: TrainingState, total: Tensor, recipe: Recipe, processes: Processes) -> float:
    """One step of Adam; the norm of the gradient before it is clipped."""
    parameters = list(state.model.parameters())
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(total).backward()
    state.scaler.unscale_(state.optimizer)
    average_gradients(parameters, processes)
    norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.optimiser.clip or float("inf"))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return float(norm)


def _result(losses: Losses, logits: Tensor, batch: Sequence[Patches], gradient: float) -> StepResult:
    margin = (logits[:, 1] - logits[:, 0]).detach().float()
    targets = torch.cat([patches.targets for patches in batch])
    parts = margin.split([len(patches.targets) for patches in batch])
    mistakes = [_mistakes(part, patches.targets) for part, patches in zip(parts, batch, strict=True)]
    total, dice, cross, risk = (float(part.detach()) for part in (losses.total, losses.dice, losses.cross, losses.risk))
    return StepResult(total, dice, cross, risk, _overlap(margin, targets), gradient, mistakes)


def _overlap(margin: Tensor, targets: Tensor) -> float:
    positive = targets.flatten(1).any(1)
    found, wanted = margin[positive] > 0, targets[positive]
    both = int(found.sum() + wanted.sum())
    return 2 * int((found & wanted).sum()) / both if both else float("nan")


def _mistakes(margin: Tensor, targets: Tensor) -> list[tuple[int, int, int, int]]:
    found = []
    for patch, values in enumerate(margin.masked_fill(_near(targets), -torch.inf)):
        if float(values.max()) > 0:
            z, y, x = (int(i) for i in torch.unravel_index(values.argmax(), values.shape))
            found.append((patch, z, y, x))
    return found


def _near(targets: Tensor) -> Tensor:
    """(N, S, S, S) bool: within `BLURRED_VOXELS` along each axis of a target; axis by axis, an eighth of the cost."""
    near = targets.float()[:, None]
    for axis in range(3):
        edge, padding = [1, 1, 1], [0, 0, 0]
        edge[axis], padding[axis] = 2 * BLURRED_VOXELS + 1, BLURRED_VOXELS
        near = functional.max_pool3d(near, edge, stride=1, padding=padding)
    return near[:, 0] > 0
