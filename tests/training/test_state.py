"""The checkpoint: whole, and the same when read back."""

from pathlib import Path

import pytest
import torch

from glianet.checkpoint import save_network
from glianet.network import GLIANet
from training.load_recipe import load_recipe
from training.models.build_model import build_model
from training.state import (
    StateError,
    load_state,
    load_trained,
    new_state,
    save_best,
    save_state,
    update_average,
)

CPU = torch.device("cpu")
NAME = "network.encoder_blocks.0.residual_block1.conv1.weight"


def _state(seed: int = 1, average: float = 0.9):  # type: ignore[no-untyped-def]
    return new_state(load_recipe(changes={"run.seed": seed, "optimiser.average": average}), CPU)


def test_round_trip(tmp_path: Path) -> None:
    state = _state(3)
    state.step, state.best, state.mistakes = 7, 0.25, {"a": [(1, 2, 3)]}
    torch.stack([p.sum() for p in state.model.parameters()]).sum().backward()
    state.optimizer.step()
    save_state(state, tmp_path / "checkpoint.pt")
    other = _state(4)
    load_state(other, tmp_path / "checkpoint.pt")
    assert (other.step, other.best, other.mistakes) == (7, 0.25, {"a": [(1, 2, 3)]})
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name])
        assert torch.equal(state.average.state_dict()[name], other.average.state_dict()[name])
    assert other.optimizer.state_dict()["state"].keys() == state.optimizer.state_dict()["state"].keys()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_an_interrupted_write_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, state = tmp_path / "checkpoint.pt", _state()
    save_state(state, path)
    before = path.read_bytes()

    def fail(content: object, file: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        save_state(state, path)
    assert path.read_bytes() == before


def test_same_seed_same_weights() -> None:
    first, second, other = _state(5), _state(5), _state(6)
    assert torch.equal(first.model.state_dict()[NAME], second.model.state_dict()[NAME])
    assert not torch.equal(first.model.state_dict()[NAME], other.model.state_dict()[NAME])


def test_initial_weights_are_taken_and_those_of_another_network_refused(tmp_path: Path) -> None:
    network = GLIANet()
    save_network(network, tmp_path / "weights.safetensors", {})
    changes = {"run.initial_weights": str(tmp_path / "weights.safetensors")}
    state = new_state(load_recipe(changes=changes), CPU)
    assert torch.equal(state.model.state_dict()[NAME], network.encoder_blocks[0].residual_block1.conv1.weight)  # type: ignore[union-attr,index]
    with pytest.raises(StateError, match=r"weights.safetensors: they are no weights of this model"):
        new_state(load_recipe(changes={**changes, "model": "unet3d"}), CPU)


def test_a_damaged_checkpoint_and_one_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(StateError, match=r"checkpoint.pt: it cannot be read"):
        load_state(_state(), path)
    save_state(_state(), path)
    other = new_state(load_recipe(changes={"model": "headxnet"}), CPU)
    with pytest.raises(StateError, match="it is no checkpoint of this recipe"):
        load_state(other, path)


def test_what_was_best_is_a_model_again(tmp_path: Path) -> None:
    recipe = load_recipe(changes={"optimiser.average": 0.9})
    (tmp_path / "recipe.json").write_text(__import__("json").dumps(recipe.to_json()))
    state = new_state(recipe, CPU)
    with torch.no_grad():
        for parameter in state.average.parameters():
            parameter.fill_(0.5)
    save_best(state, tmp_path / "best.pt")
    model = load_trained(tmp_path / "best.pt")
    assert all(bool((parameter == 0.5).all()) for parameter in model.parameters()) and model.name == "glianet"
    with pytest.raises(StateError, match="the recipe of the training cannot be read"):
        load_trained(_copied(tmp_path / "best.pt", tmp_path / "alone"))


def _copied(path: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name


def test_average_moves_by_one_minus_decay() -> None:
    average, model = build_model("unet3d"), build_model("unet3d")
    with torch.no_grad():
        for one, value in ((average, 1.0), (model, 2.0)):
            for tensor in (*one.parameters(), *(b for b in one.buffers() if b.is_floating_point())):
                tensor.fill_(value)
    update_average(average, model, 0.9, step=10_000)
    assert all(bool(torch.isclose(p, torch.tensor(1.1)).all()) for p in average.parameters())
    assert all(bool((b == 2.0).all()) for b in average.buffers() if b.is_floating_point())  # statistics, as they are
    update_average(average, model, 0.9, step=0)  # decay 1/10 at first: nearly the model itself
    assert all(bool(torch.isclose(p, torch.tensor(1.1 + 0.9 * 0.9)).all()) for p in average.parameters())


def test_without_a_running_mean_the_model_is_its_own() -> None:
    state = _state(average=0.0)
    assert state.average is state.model and all(p.requires_grad for p in state.model.parameters())
