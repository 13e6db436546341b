"""One optimisation step."""

import numpy as np
import pytest
import torch

from tests.training.made_cases import cube_case
from training.samples import Batch, draw_batch
from training.settings import TrainingSettings
from training.state import new_state
from training.step import take_step

SETTINGS = TrainingSettings(steps=10, warmup_steps=0, threads=1, global_every=2, bfloat16=False)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return draw_batch(np.random.default_rng(0), cube_case(), 24, positives=1, negatives=1)


def test_a_step_changes_the_weights_and_moves_on(batch: Batch) -> None:
    state = new_state(1, 1.0)
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    result = take_step(state, batch, SETTINGS)
    after = state.network.state_dict()
    assert state.step == 1
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(SETTINGS.learning_rate)
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("conv2.weight"))
    assert result.total == pytest.approx(0.1 * result.risk + 0.8 * result.dice + 0.2 * result.cross, abs=1e-4)
    assert 0 <= result.overlap <= 1


def test_the_global_branch_rests_between_its_turns(batch: Batch) -> None:
    state = new_state(1, 1.0)
    state.step = 1
    name = "global_localizer.feature_generator.encode_block5.residual_block1.conv2.weight"
    local = "encoder_blocks.0.residual_block1.conv2.weight"
    before = {n: state.network.state_dict()[n].clone() for n in (name, local)}
    take_step(state, batch, SETTINGS)
    assert torch.equal(before[name], state.network.state_dict()[name])
    assert not torch.equal(before[local], state.network.state_dict()[local])


def test_mistakes_lie_away_from_the_target(batch: Batch) -> None:
    state = new_state(1, 1.0)
    with torch.no_grad():
        assert state.network.output_conv.bias is not None
        state.network.output_conv.bias.copy_(torch.tensor([-50.0, 50.0]))  # calls every voxel an aneurysm
    result = take_step(state, batch, SETTINGS)
    assert [mistake[0] for mistake in result.mistakes] == [0, 1]
    z, y, x = result.mistakes[0][1:]
    target = torch.nonzero(batch.targets[0])
    assert int((target - torch.tensor([z, y, x])).abs().max(dim=1).values.min()) > 4
