"""A training from nothing, stopped and taken up again, and its weights as the node loads them."""

import json
from pathlib import Path

import pytest
import torch

from glianet.checkpoint import load_network
from tests.training.made_cases import cube_case
from training.export import export_weights
from training.settings import TrainingSettings
from training.state import load_state, new_state
from training.train import train


def _settings(steps: int) -> TrainingSettings:
    return TrainingSettings(
        steps=steps, patch_size=24, large_from=1.0, pool_start=1, pool_size=2, positives=1, negatives=1,
        checkpoint_every=1, threads=1, refresh_every=100, pool_workers=1, bfloat16=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(folder, _settings(2), cube_case)
    train(folder, _settings(3), cube_case)
    return folder


def test_the_second_run_goes_on_where_the_first_stopped(run: Path) -> None:
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2, 3]
    assert json.loads((run / "settings.json").read_text())["steps"] == 3
    assert all(entry["total"] > 0 and entry["cases"] == 1 for entry in log)


def test_exported_weights_are_the_averaged_ones(run: Path, tmp_path: Path) -> None:
    export_weights(run, tmp_path / "weights.safetensors")
    loaded = load_network(tmp_path / "weights.safetensors")
    state = new_state(1, 1e-3)
    load_state(state, run / "checkpoint.pt")
    expected = state.average.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.network.state_dict().items())
    assert loaded.metadata["training_steps"] == 3
    assert "Research use only" in loaded.metadata["notice"]
