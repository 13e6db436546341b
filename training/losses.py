"""The paper's loss (Methods): exponential logarithmic dice and cross-entropy, and the patch's risk."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GLOBAL_WEIGHT, LOCAL_WEIGHT = 0.1, 1.0
DICE_WEIGHT, CROSS_WEIGHT = 0.8, 0.2
DICE_GAMMA, CROSS_GAMMA = 0.3, 0.3
SMOOTHING_VOXELS = 1e-2
"""epsilon of the dice. Small, because below it the slope that leads out of "nothing anywhere" fades."""
LEAST_LOSS = 1e-5
"""x^0.3 has an infinite slope at 0: below this, cross-entropy and log dice no longer pull."""


@dataclass(frozen=True)
class Losses:
    """Total and parts, each a scalar tensor."""

    total: Tensor
    dice: Tensor
    cross: Tensor
    risk: Tensor


def combined_loss(logits: Tensor, risk_logits: Tensor, targets: Tensor, weights: Tensor) -> Losses:
    """0.1 risk + 1.0 (0.8 dice + 0.2 cross-entropy).

    logits: (N, 2, S, S, S); risk_logits: (N, 2); targets: (N, S, S, S) bool; weights: the same
    shape, as `pyramid_weights` gives them.
    """
    log_probability = functional.log_softmax(logits.float(), dim=1)
    dice = _log_dice(log_probability[:, 1].exp(), targets.float())
    cross = _weighted_cross_entropy(log_probability, targets, weights)
    positive = targets.flatten(1).any(dim=1).long()
    risk = functional.cross_entropy(risk_logits.float(), positive)
    total = GLOBAL_WEIGHT * risk + LOCAL_WEIGHT * (DICE_WEIGHT * dice + CROSS_WEIGHT * cross)
    return Losses(total, dice, cross, risk)


def _log_dice(probability: Tensor, target: Tensor) -> Tensor:
    """(-ln dice)^0.3, one dice over all voxels of the batch; 0 where the batch has no target.

    Patch by patch, patches without a target would be best served by predicting nothing anywhere, and training
    falls into that: a dice over the batch weighs their false positives against the targets of the others.
    """
    wanted = target.sum()
    if not wanted:
        return probability.sum() * 0
    dice = (2 * (probability * target).sum() + SMOOTHING_VOXELS) / (
        probability.sum() + wanted + SMOOTHING_VOXELS
    )
    return (-torch.log(dice)).clamp(min=LEAST_LOSS).pow(DICE_GAMMA)


def _weighted_cross_entropy(log_probability: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over the voxels of w (-ln p of the true class)^0.3."""
    surprise = -torch.where(target, log_probability[:, 1], log_probability[:, 0])
    return (weights * surprise.clamp(min=LEAST_LOSS).pow(CROSS_GAMMA)).mean()
