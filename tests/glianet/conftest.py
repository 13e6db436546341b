from pathlib import Path

import pytest

from glianet.checkpoint import save_network
from glianet.network import GLIANet
from tests.glianet.formulas import formula_network


@pytest.fixture(scope="session")
def network() -> GLIANet:
    return formula_network()


@pytest.fixture(scope="session")
def formula_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "formula.safetensors"
    save_network(formula_network(), path, {"made_by": "formula"})
    return path
