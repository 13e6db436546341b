"""Weights as they are evaluated, in float32 and in fewer bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from glianet.network import GLIANet
from glianet.weights_file import DEFAULT_WEIGHTS
from training import state
from training.models.build_model import LocatedModel
from training.scorer import load_scorer

CLOSE = 0.05  # of a probability: bfloat16 has 8 bits


def check(weights: Path) -> None:
    hu = np.random.default_rng(3).integers(0, 300, (96, 96, 96)).astype(np.int16)
    full, fewer = (load_scorer(weights, "cpu", 96, bits).score(hu, np.eye(4), None) for bits in ("float32", "bfloat16"))
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
