"""One optimisation step."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.training.made_cases import cube_case
from training.load_recipe import load_recipe
from training.recipe import Recipe
from training.samples import Patches, draw_patches
from training.state import new_state
from training.step import _mistakes, take_step

CPU = torch.device("cpu")
CHANGES = {
    "patches.size": 24, "patches.jitter": 9, "patches.batch": 2, "patches.cases": 1, "optimiser.global_every": 2,
    "run.precision": "float32",
}  # fmt: skip
GENERATOR = "network.global_localizer.feature_generator.encode_block5.residual_block1.conv2.weight"


def _recipe(**changes: object) -> Recipe:
    return load_recipe(changes=CHANGES | {key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture(scope="module")
def batch() -> Sequence[Patches]:
    recipe = _recipe()
    return [draw_patches(np.random.default_rng(0), cube_case(), [True, False], recipe.patches, recipe.loss)]


def test_a_step_changes_the_weights_and_moves_on(batch: Sequence[Patches]) -> None:
    state = new_state(_recipe(), CPU)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    result = take_step(state, batch, _recipe())
    after = state.model.state_dict()
    assert state.step == 1 and state.optimizer.param_groups[0]["lr"] == 2e-4
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("conv2.weight"))
    assert result.total == pytest.approx(0.1 * result.risk + 0.8 * result.dice + 0.2 * result.cross, abs=1e-4)
    assert 0 <= result.overlap <= 1 and result.gradient > 0


def test_the_global_branch_rests_between_its_turns(batch: Sequence[Patches]) -> None:
    state = new_state(_recipe(), CPU)
    state.step = 1
    local = "network.encoder_blocks.0.residual_block1.conv2.weight"
    before = {name: state.model.state_dict()[name].clone() for name in (GENERATOR, local)}
    take_step(state, batch, _recipe())
    assert torch.equal(before[GENERATOR], state.model.state_dict()[GENERATOR])
    assert not torch.equal(before[local], state.model.state_dict()[local])
    take_step(state, batch, _recipe())
    assert not torch.equal(before[GENERATOR], state.model.state_dict()[GENERATOR])


def test_the_gradient_is_clipped(batch: Sequence[Patches]) -> None:
    """Adam's first step is as long whatever the gradient; what its moments hold tells."""
    state = new_state(_recipe(), CPU)
    result = take_step(state, batch, _recipe(optimiser__clip=1e-3))
    moments = [values["exp_avg"] for values in state.optimizer.state_dict()["state"].values()]
    norm = math.sqrt(sum(float((moment / 0.1).pow(2).sum()) for moment in moments))
    assert result.gradient > 1e-3 and norm == pytest.approx(1e-3, rel=0.01)


def test_groups_of_several_cases_are_one_batch(batch: Sequence[Patches]) -> None:
    """Two groups of one patch each cost as one group of both, of the same case."""
    recipe = _recipe()
    patches = batch[0]
    parts = [
        Patches(
            patches.case, patches.channels[n : n + 1], patches.boxes[n : n + 1], patches.targets[n : n + 1],
            patches.weights[n : n + 1], patches.positive[n : n + 1], patches.whole, patches.starts[n : n + 1],
            patches.turns[n : n + 1],
        )
        for n in range(2)
    ]  # fmt: skip
    together = take_step(new_state(recipe, CPU), batch, recipe)
    apart = take_step(new_state(recipe, CPU), parts, recipe)
    assert apart.total == pytest.approx(together.total, rel=1e-4)
    assert [len(group) for group in apart.mistakes] <= [1, 1]


@pytest.mark.parametrize("model", ["unet3d", "headxnet"])
def test_the_baselines_learn_by_cross_entropy_alone(batch: Sequence[Patches], model: str) -> None:
    recipe = _recipe(model=model)
    result = take_step(new_state(recipe, CPU), batch, recipe)
    assert result.total == result.cross > 0 and result.dice == result.risk == 0


def test_mistakes_lie_away_from_the_target(batch: Sequence[Patches]) -> None:
    state = new_state(_recipe(), CPU)
    with torch.no_grad():
        state.model.network.output_conv.bias.copy_(torch.tensor([-50.0, 50.0]))  # type: ignore[union-attr,operator]
    result = take_step(state, batch, _recipe())  # calls every voxel an aneurysm
    ((first, second),) = result.mistakes
    assert (first[0], second[0]) == (0, 1)
    target = torch.nonzero(batch[0].targets[0])
    assert int((target - torch.tensor(first[1:])).abs().max(dim=1).values.min()) > 4


def test_what_is_called_an_aneurysm_near_one_is_no_mistake() -> None:
    """A target in one corner: the greatest wrong margin 4 voxels away counts as its blur, 5 voxels away as wrong."""
    targets = torch.zeros(1, 24, 24, 24, dtype=torch.bool)
    targets[0, 2, 2, 2] = True
    margin = torch.full((1, 24, 24, 24), -1.0)
    margin[0, 6, 6, 6] = 9.0
    assert _mistakes(margin, targets) == []
    margin[0, 2, 7, 2] = 3.0
    assert _mistakes(margin, targets) == [(0, 2, 7, 2)]
