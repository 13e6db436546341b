"""The paper's loss (Methods): exponential logarithmic dice and cross-entropy, and the patch's risk."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.recipe import LossRecipe

SMOOTHING_VOXELS = 1e-2
"""epsilon of the dice. Small, because below it the slope that leads out of "nothing anywhere" fades."""
LEAST_LOSS = 1e-5
"""x^0.3 has an infinite slope at 0: below this, cross-entropy and log dice no longer pull."""


@dataclass(frozen=True)
class Losses:
    """Total and parts, each a scalar tensor; parts that a loss does not have are 0."""

    total: Tensor
    dice: Tensor
    cross: Tensor
    risk: Tensor


def combined_loss(
    logits: Tensor,
    risk_logits: Tensor | None,
    targets: Tensor,
    weights: Tensor,
    positive: Tensor,
    recipe: LossRecipe,
) -> Losses:
    """0.1 risk + 1.0 (0.8 dice + 0.2 cross-entropy), with the recipe's weights.

    logits: (N, 2, S, S, S); risk_logits: (N, 2), None for a model without a global network; targets: (N, S, S, S) bool;
    weights: the same shape, as `pyramid_weights` gives them; positive: (N,) bool, the global label.
    """
    log_probability = functional.log_softmax(logits.float(), dim=1)
    kinds = ("patch", "batch") if recipe.dice == "both" else (recipe.dice,)
    probability = log_probability[:, 1].exp()
    dice = torch.stack([_log_dice(probability, targets.float(), recipe.dice_gamma, kind) for kind in kinds]).mean()
    cross = _weighted_cross_entropy(log_probability, targets, weights, recipe.cross_gamma)
    risk = dice.new_zeros(()) if risk_logits is None else functional.cross_entropy(risk_logits.float(), positive.long())
    local = recipe.dice_weight * dice + recipe.cross_weight * cross
    return Losses(recipe.global_weight * risk + recipe.local_weight * local, dice, cross, risk)


def plain_cross_entropy(logits: Tensor, targets: Tensor) -> Losses:
    """Softmax cross-entropy over all voxels, as the paper trains its U-Net and HeadXNet."""
    cross = functional.cross_entropy(logits.float(), targets.long())
    return Losses(cross, cross.new_zeros(()), cross, cross.new_zeros(()))


def _log_dice(probability: Tensor, target: Tensor, gamma: float, kind: str) -> Tensor:
    """(-ln dice)^0.3: the mean over the patches that have a target, or one dice over all voxels of the batch.

    Patches without a target have none. One dice over the batch weighs their false positives against the targets of the
    others; patch by patch they would be best served by predicting nothing anywhere, and training falls into that.
    """
    if kind == "batch":
        probability, target = probability.reshape(1, -1), target.reshape(1, -1)
    else:
        probability, target = probability.flatten(1), target.flatten(1)
    wanted = target.sum(1)
    has_target = wanted > 0
    if not bool(has_target.any()):
        return probability.sum() * 0
    dice = (2 * (probability * target).sum(1) + SMOOTHING_VOXELS) / (probability.sum(1) + wanted + SMOOTHING_VOXELS)
    return (-torch.log(dice[has_target])).clamp(min=LEAST_LOSS).pow(gamma).mean()


def _weighted_cross_entropy(log_probability: Tensor, target: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Mean over the voxels of w (-ln p of the true class)^0.3."""
    surprise = -torch.where(target, log_probability[:, 1], log_probability[:, 0])
    return (weights * surprise.clamp(min=LEAST_LOSS).pow(gamma)).mean()
