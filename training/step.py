"""One optimisation step on one batch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.losses import combined_loss
from training.samples import Batch
from training.settings import TrainingSettings
from training.state import TrainingState, update_average

GREATEST_GRADIENT = 5.0
"""Norm that gradients are clipped to: the loss is steep where it is small."""


@dataclass(frozen=True)
class StepResult:
    """What a step measured before it changed the weights.

    overlap: hard dice of the patches with a target (nan without one). mistakes: (patch, z, y, x), the voxel
    of the greatest wrong probability above 0.5 of each patch that has one.
    """

    total: float
    dice: float
    cross: float
    risk: float
    overlap: float
    mistakes: list[tuple[int, int, int, int]]


def take_step(state: TrainingState, batch: Batch, settings: TrainingSettings) -> StepResult:
    """Forward, loss, backward, clip, Adam, running average; the state's step moves on by one."""
    rate = settings.rate_at(state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
        logits, risk_logits = _forward(state, batch, settings)
    losses = combined_loss(logits, risk_logits, batch.targets, batch.weights)
    state.optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), GREATEST_GRADIENT)
    state.optimizer.step()
    update_average(state.average, state.network, settings.average_decay, state.step)
    state.step += 1
    margin = (logits[:, 1] - logits[:, 0]).detach().float()
    parts = (losses.total, losses.dice, losses.cross, losses.risk)
    total, dice, cross, risk = (float(part.detach()) for part in parts)
    return StepResult(
        total, dice, cross, risk, _overlap(margin, batch.targets), _mistakes(margin, batch.targets)
    )


def _forward(state: TrainingState, batch: Batch, settings: TrainingSettings) -> tuple[Tensor, Tensor]:
    network, learns = state.network, state.step % settings.global_every == 0
    with torch.set_grad_enabled(learns):
        features = network.global_features(batch.global_input)
    location, risk_logits = network.localise(features, batch.boxes)
    return network.segment(batch.patches, location), risk_logits


def _overlap(margin: Tensor, targets: Tensor) -> float:
    positive = targets.flatten(1).any(1)
    found, wanted = margin[positive] > 0, targets[positive]
    both = int(found.sum() + wanted.sum())
    return 2 * int((found & wanted).sum()) / both if both else float("nan")


def _mistakes(margin: Tensor, targets: Tensor) -> list[tuple[int, int, int, int]]:
    wrong = margin.masked_fill(_near(targets), -torch.inf)
    found = []
    for patch, values in enumerate(wrong):
        if float(values.max()) > 0:
            z, y, x = (int(i) for i in torch.unravel_index(values.argmax(), values.shape))
            found.append((patch, z, y, x))
    return found


def _near(targets: Tensor) -> Tensor:
    """The targets grown by four voxels: a blurred outline is no false positive."""
    return torch.nn.functional.max_pool3d(targets.float()[:, None], 9, stride=1, padding=4)[:, 0] > 0
