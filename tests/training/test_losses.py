"""The combined loss against values worked out by hand."""

import math

import pytest
import torch

from training.losses import Losses, combined_loss, plain_cross_entropy
from training.recipe import LossRecipe

BATCH = LossRecipe(dice="batch")


def _loss(
    logits: torch.Tensor,
    risk_logits: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    recipe: LossRecipe = BATCH,
) -> Losses:
    return combined_loss(logits, risk_logits, targets, weights, targets.flatten(1).any(1), recipe)


def _one_voxel_target() -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    targets[0, 0, 0, 0] = True
    return targets, torch.where(targets, 20.0, 1.0)


def test_undecided_network() -> None:
    # Every probability 0.5: dice = (2 * 0.5 + 0.01) / 5.01 = 0.201597, 1.601485^0.3 = 1.151746;
    # cross = (20 + 7) / 8 * (ln 2)^0.3 = 3.375 * 0.89588 = 3.02358; risk = ln 2.
    targets, weights = _one_voxel_target()
    losses = _loss(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2), targets, weights)
    assert float(losses.dice) == pytest.approx(1.151746, abs=1e-5)
    assert float(losses.cross) == pytest.approx(3.02358, abs=1e-5)
    assert float(losses.risk) == pytest.approx(math.log(2), abs=1e-6)
    assert float(losses.total) == pytest.approx(0.1 * 0.693147 + 0.8 * 1.151746 + 0.2 * 3.02358, abs=1e-5)


def test_dice_is_taken_over_the_batch() -> None:
    # A second patch without a target adds 8 * 0.5: 1.01 / 9.01 = 0.112098, 2.188383^0.3 = 1.264845.
    targets, weights = _one_voxel_target()
    both = torch.cat([targets, torch.zeros_like(targets)])
    logits, twice = torch.zeros(2, 2, 2, 2, 2), torch.cat([weights, weights])
    losses = _loss(logits, torch.zeros(2, 2), both, twice)
    assert float(losses.dice) == pytest.approx(1.264845, abs=1e-5)


def test_dice_of_both_kinds_is_their_mean() -> None:
    # Patch by patch 1.151746, over the batch 1.264845, as above.
    targets, weights = _one_voxel_target()
    both = torch.cat([targets, torch.zeros_like(targets)])
    logits, twice = torch.zeros(2, 2, 2, 2, 2), torch.cat([weights, weights])
    losses = _loss(logits, torch.zeros(2, 2), both, twice, LossRecipe(dice="both"))
    assert float(losses.dice) == pytest.approx((1.151746 + 1.264845) / 2, abs=1e-5)


def test_a_batch_without_a_target_has_no_dice_loss() -> None:
    targets, weights = _one_voxel_target()
    losses = _loss(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2), torch.zeros_like(targets), weights)
    assert float(losses.dice) == 0
    assert float(losses.cross) > 0


def test_the_way_out_of_nothing_anywhere_does_not_fade() -> None:
    # 512 targets at a probability of 1e-3: dice = 1.034 / 512.5, x = -ln dice = 6.206. All logits raised by d
    # raise ln dice by d * 1.024 / 1.034: the slope is -0.3 * 6.206^-0.7 * 0.99 = -0.0828.
    targets = torch.ones(1, 8, 8, 8, dtype=torch.bool)
    lift = torch.zeros((), requires_grad=True)
    logit = math.log(1e-3 / (1 - 1e-3)) + lift
    logits = torch.stack([torch.zeros(1, 8, 8, 8), logit.expand(1, 8, 8, 8)], dim=1)
    _loss(logits, torch.zeros(1, 2), targets, torch.ones(1, 8, 8, 8)).dice.backward()
    assert lift.grad is not None
    assert float(lift.grad) == pytest.approx(-0.0828, rel=0.02)


def test_risk_asks_whether_the_patch_holds_a_target() -> None:
    targets, weights = _one_voxel_target()
    sure = torch.tensor([[0.0, 3.0]])
    right = _loss(torch.zeros(1, 2, 2, 2, 2), sure, targets, weights)
    wrong = _loss(torch.zeros(1, 2, 2, 2, 2), sure, torch.zeros_like(targets), weights)
    assert float(right.risk) == pytest.approx(math.log(1 + math.exp(-3)), abs=1e-6)
    assert float(wrong.risk) == pytest.approx(3 + math.log(1 + math.exp(-3)), abs=1e-6)


def test_a_perfect_answer_has_a_small_loss_and_a_finite_gradient() -> None:
    targets, weights = _one_voxel_target()
    answer = torch.where(targets, 60.0, -60.0)
    logits = torch.stack([-answer, answer], dim=1).requires_grad_()
    losses = _loss(logits, torch.tensor([[-60.0, 60.0]]), targets, weights)
    losses.total.backward()
    assert float(losses.total.detach()) < 0.05
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_patch_by_patch_a_patch_without_a_target_has_no_dice() -> None:
    # The first patch alone, as in test_undecided_network.
    targets, weights = _one_voxel_target()
    both, twice = torch.cat([targets, torch.zeros_like(targets)]), torch.cat([weights, weights])
    losses = _loss(torch.zeros(2, 2, 2, 2, 2), torch.zeros(2, 2), both, twice, LossRecipe(dice="patch"))
    assert float(losses.dice) == pytest.approx(1.151746, abs=1e-5)


def test_the_recipe_weighs_the_parts() -> None:
    targets, weights = _one_voxel_target()
    recipe = LossRecipe(dice_weight=0.2, cross_weight=0.8, global_weight=0.5, local_weight=2.0)
    losses = _loss(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2), targets, weights, recipe)
    assert float(losses.total) == pytest.approx(0.5 * 0.693147 + 2 * (0.2 * 1.151746 + 0.8 * 3.02358), abs=1e-5)


def test_without_a_global_network_there_is_no_risk() -> None:
    targets, weights = _one_voxel_target()
    positive = targets.flatten(1).any(1)
    losses = combined_loss(torch.zeros(1, 2, 2, 2, 2), None, targets, weights, positive, BATCH)
    assert float(losses.risk) == 0 and float(losses.total) == pytest.approx(0.8 * 1.151746 + 0.2 * 3.02358, abs=1e-5)


def test_plain_cross_entropy_of_an_undecided_network_is_ln_2() -> None:
    targets, _ = _one_voxel_target()
    assert float(plain_cross_entropy(torch.zeros(1, 2, 2, 2, 2), targets).total) == pytest.approx(math.log(2), abs=1e-6)
