"""Weights as they are evaluated, in float32 and in fewer bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from glianet.checkpoint import save_network
from glianet.errors import SettingsError
from glianet.model import ComputeSettings
from glianet.network import GLIANet
from glianet.weights_file import DEFAULT_WEIGHTS
from training import state
from training.models.build_model import LocatedModel
from training.scorer import load_scorer

CLOSE = 0.05  # of a probability: bfloat16 has 8 bits


def made_volume() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 300, (96, 96, 96)).astype(np.int16)


def scored(weights: list[Path], hu: np.ndarray, precision: str = "float32", flips: tuple[str, ...] = ()) -> np.ndarray:
    compute = ComputeSettings("cpu", precision=precision, flips=flips)
    return load_scorer(weights, compute, 96).score(hu, np.eye(4), None)


def check(weights: Path) -> None:
    full, fewer = (scored([weights], made_volume(), bits) for bits in ("float32", "bfloat16"))
    assert full.dtype == fewer.dtype == np.float32
    assert 0 < float(np.abs(full - fewer).max()) < CLOSE


def test_fewer_bits_give_nearly_the_same_in_the_nodes_engine() -> None:
    check(DEFAULT_WEIGHTS)


def test_fewer_bits_give_nearly_the_same_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    trained = LocatedModel("glianet", "glianet", GLIANet())
    monkeypatch.setattr(state, "load_trained", lambda _: trained)
    weights = tmp_path / "checkpoint.pt"
    weights.write_bytes(b"read by a stand-in")
    check(weights)


def made_weights(folder: Path, seed: int) -> Path:
    """Of a network that was never trained: its probabilities are far from 0 and 1."""
    torch.manual_seed(seed)
    path = folder / f"{seed}.safetensors"
    save_network(GLIANet(), path, {})
    return path


def test_flips_give_the_mean_with_the_mirror_image(tmp_path: Path) -> None:
    hu, weights = made_volume(), made_weights(tmp_path, 1)
    plain, mirrored = scored([weights], hu), scored([weights], np.ascontiguousarray(hu[:, :, ::-1]))
    assert float(np.abs(plain - mirrored[:, :, ::-1]).max()) > CLOSE
    mean = scored([weights], hu, flips=("left-right",))
    np.testing.assert_allclose(mean, (plain + mirrored[:, :, ::-1]) / 2, atol=1e-4)


def test_several_weights_give_the_mean_of_their_networks(tmp_path: Path) -> None:
    hu, both = made_volume(), [made_weights(tmp_path, seed) for seed in (1, 2)]
    first, second = (scored([weights], hu) for weights in both)
    assert float(np.abs(first - second).max()) > CLOSE
    np.testing.assert_allclose(scored(both, hu), (first + second) / 2, atol=1e-4)


@pytest.mark.parametrize(("others", "flips"), [(["b.safetensors"], ()), ([], ("left-right",))])
def test_a_checkpoint_is_scored_by_itself(others: list[str], flips: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"run/best\.pt is a training's checkpoint.*glianet-training export"):
        load_scorer([Path("run/best.pt"), *map(Path, others)], ComputeSettings("cpu", flips=flips))
