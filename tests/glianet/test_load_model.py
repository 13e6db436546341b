"""Networks as they are loaded from files of weights, and the digest that stands for them."""

from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from glianet.errors import WeightsError
from glianet.load_model import load_model
from glianet.model import ComputeSettings, fitting_ways
from glianet.network import GLIANet
from glianet.weights_file import DEFAULT_WEIGHTS, combined_sha256, weights_sha256
from tests.support.fake_segmenters import CPU, ON_CPU, fake


def test_one_digest_stands_for_itself_and_several_for_their_row() -> None:
    """echo -n aabb | sha256sum, with digests of two letters for short."""
    assert combined_sha256(["aa"]) == "aa"
    assert combined_sha256(["aa", "bb"]) == SHA256_OF_AABB
    assert combined_sha256(["bb", "aa"]) != SHA256_OF_AABB


@pytest.mark.usefixtures("quick_network")
def test_one_file_is_loaded_under_its_own_digest(formula_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, {})
    loaded = load_model([formula_weights], ON_CPU)
    assert loaded.sha256 == weights_sha256(formula_weights)
    assert len(loaded.model.members) == 1 and loaded.model.flips == ((),)


@pytest.mark.usefixtures("quick_network")
def test_two_files_are_loaded_in_their_order(
    formula_weights: Path, network: GLIANet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, {})
    settings = ComputeSettings("cpu", flips=("left-right",))
    loaded = load_model([DEFAULT_WEIGHTS, formula_weights], settings)
    digests = [weights_sha256(path) for path in (DEFAULT_WEIGHTS, formula_weights)]
    assert loaded.sha256 == combined_sha256(digests) not in digests
    first, second = (member.network.output_conv.weight for member in loaded.model.members)
    assert torch.equal(second, network.output_conv.weight) and not torch.equal(first, second)
    assert loaded.model.flips == ((), (2,))


def test_no_weights_file_at_all_is_refused() -> None:
    with pytest.raises(WeightsError, match="no weights file is named"):
        load_model([])


def test_the_default_weights_are_prepared_and_checked_in_earnest() -> None:
    loaded = load_model(settings=ON_CPU)
    backend, precision = fitting_ways(ON_CPU, CPU)[0]
    assert loaded.sha256 == weights_sha256(DEFAULT_WEIGHTS)
    assert loaded.model.description == f"{backend} {version(backend)} {precision} on cpu"


SHA256_OF_AABB = "486b34250bd4400c0aa90516fce9a9c0633a922eb40d0828cf299bc4e825acf4"
"""Of the four letters."""
