"""The checkpoint: whole, and the same when read back."""

from pathlib import Path

import pytest
import torch

from training.state import load_state, new_state, save_state, update_average


def test_round_trip(tmp_path: Path) -> None:
    state = new_state(3, 1e-3)
    state.step = 7
    torch.stack([p.sum() for p in state.network.parameters()]).sum().backward()
    state.optimizer.step()
    save_state(state, tmp_path / "checkpoint.pt")
    other = new_state(4, 1e-3)
    load_state(other, tmp_path / "checkpoint.pt")
    assert other.step == 7
    for name, tensor in state.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name])
    assert other.optimizer.state_dict()["state"].keys() == state.optimizer.state_dict()["state"].keys()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_an_interrupted_write_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    state = new_state(1, 1e-3)
    save_state(state, path)
    before = path.read_bytes()

    def fail(content: object, file: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        save_state(state, path)
    assert path.read_bytes() == before


def test_same_seed_same_weights() -> None:
    first, second, other = new_state(5, 1e-3), new_state(5, 1e-3), new_state(6, 1e-3)
    name = "encoder_blocks.0.residual_block1.conv1.weight"
    assert torch.equal(first.network.state_dict()[name], second.network.state_dict()[name])
    assert not torch.equal(first.network.state_dict()[name], other.network.state_dict()[name])


def test_average_moves_by_one_minus_decay() -> None:
    average, network = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(1.0)
        network.weight.fill_(2.0)
    update_average(average, network, 0.9, step=10_000)
    assert average.weight.item() == pytest.approx(1.1)
    update_average(average, network, 0.9, step=0)  # decay 1/10 at first: nearly the network itself
    assert average.weight.item() == pytest.approx(1.1 + 0.9 * 0.9)
