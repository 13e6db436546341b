from pathlib import Path

import pytest
import torch

import glianet.known_patch
import glianet.model
from glianet.checkpoint import save_network
from glianet.network import GLIANet
from tests.glianet.formulas import formula_network
from tests.support.checkpoints import published, saved


@pytest.fixture(scope="session")
def network() -> GLIANet:
    return formula_network()


@pytest.fixture(scope="session")
def formula_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "formula.safetensors"
    save_network(formula_network(), path, {"made_by": "formula"})
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(published(), tmp_path_factory.mktemp("published") / "glia-net.pt")


@pytest.fixture
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network as it is written down says 0.25 everywhere, as the fake segmenters do."""
    monkeypatch.setattr(
        glianet.known_patch, "plain_probability", lambda network, hu, location: torch.full(hu.shape, 0.25)
    )


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has bfloat16, and OpenVINO."""
    monkeypatch.setattr(glianet.model, "torch_precisions", lambda device: ("float32", "bfloat16"))
    monkeypatch.setattr(glianet.model, "openvino_precisions", lambda: ("float32", "bfloat16"))
    monkeypatch.setattr(glianet.model, "version", {"torch": torch.__version__, "openvino": "2026.7"}.__getitem__)
