"""The graph against PyTorch in float32, which tests/glianet/test_network.py holds against the published network."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.network import GLIANet
from glianet.segmenters import plain_probability
from glianet.windows import to_channels
from tests.glianet.formulas import formula_volume

openvino = pytest.importorskip("openvino")
openvino_network = pytest.importorskip("glianet.openvino_network")

AGREEMENT = {"head": 1e-4, "nearly all air": 2e-4}
"""Against float64 the graph is off by 6.5e-5 and 1.3e-4 on a processor with AVX-512, PyTorch by 5e-6: nine tenths of a
patch that are all alike leave group normalisation a small variance."""


def _compiled(graph: Any) -> Any:
    return openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2})


def _location(seed: int) -> Tensor:
    return torch.randn((1, 32, 6, 6, 6), generator=torch.Generator().manual_seed(seed))


def _nearly_all_air() -> NDArray[np.int16]:
    """90 % of the slices are at -1000 HU."""
    hu = np.full((96, 96, 96), -1000, np.int16)
    hu[:10] = formula_volume((96, 96, 96), seed=3)[40:50]
    return hu


@pytest.fixture(scope="module")
def compiled(network: GLIANet) -> Any:
    """The graph of patches of 96^3."""
    return _compiled(openvino_network.build_graph(network))


@pytest.mark.parametrize("kind", ["head", "nearly all air"])
@torch.inference_mode()
def test_gives_the_probability_of_the_network(network: GLIANet, compiled: Any, kind: str) -> None:
    hu = formula_volume((96, 96, 96), seed=1) if kind == "head" else _nearly_all_air()
    location = _location(1)
    computed = compiled([hu[None, None], location.numpy()])[0]
    assert computed.shape == (1, 1, 96, 96, 96) and computed.dtype == np.float32
    expected = plain_probability(network, torch.from_numpy(hu[None]), location)[0].numpy()
    assert np.abs(computed[0, 0] - expected).max() < AGREEMENT[kind]
    if kind == "head":
        assert expected.std() > 0.1, "probabilities that are all alike show nothing"


@torch.inference_mode()
def test_another_patch_size_and_location_give_the_probability_of_the_network(network: GLIANet) -> None:
    hu, location = formula_volume((48, 48, 48), seed=2), _location(2)
    computed = _compiled(openvino_network.build_graph(network, patch=48))([hu[None, None], location.numpy()])[0]
    expected, other = (
        plain_probability(network, torch.from_numpy(hu[None]), place) for place in (location, _location(3))
    )
    assert np.abs(computed[0, 0] - expected[0].numpy()).max() < AGREEMENT["head"]
    assert (expected - other).abs().max() > 0.01, "the location has to matter"


def test_windows_are_applied_in_the_graph_as_by_to_channels() -> None:
    values = np.array([-32768, -1000, 0, 1, 50, 100, 101, 150, 200, 201, 500, 800, 801, 3000, 32767], np.int16)
    hu = np.resize(values, (1, 1, 4, 4, 4))
    parameter = openvino.opset13.parameter([1, 1, 4, 4, 4], np.int16, name="hu")
    graph = openvino.Model([openvino_network._channels(parameter)], [parameter], "windows")
    computed = _compiled(graph)([hu])[0]
    assert computed.shape == (1, 3, 4, 4, 4)
    expected = to_channels(torch.from_numpy(hu[:, 0])).numpy()
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-7)
    assert computed.reshape(3, -1)[:, :5].T.round(4).tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [pytest.approx(0.01), 0, 0],
        [pytest.approx(0.5), 0, 0],
    ]


def test_moments_of_equal_values_hold_to_five_digits() -> None:
    """96^3 values of 0.1 and of 100.1: one sum in float32 would be off by up to 1 %. Measured: 1e-5."""
    features = np.empty((1, 4, 96, 96, 96), np.float32)
    features[0] = np.array([0.1, 100.1, -3, 0])[:, None, None, None]
    parameter = openvino.opset13.parameter([1, 4, 96, 96, 96], np.float32, name="features")
    graph = openvino.Model(list(openvino_network._channel_moments(parameter)), [parameter], "moments")
    means, squares = _compiled(graph)([features]).values()
    np.testing.assert_allclose(means.ravel(), [0.1, 100.1, -3, 0], rtol=3e-5)
    np.testing.assert_allclose(squares.ravel(), [0.01, 10020.01, 9, 0], rtol=3e-5)


def test_moments_of_random_values_are_those_of_float64() -> None:
    features = np.random.default_rng(5).normal(2, 1, (1, 4, 96, 96, 96)).astype(np.float32)
    parameter = openvino.opset13.parameter([1, 4, 96, 96, 96], np.float32, name="features")
    graph = openvino.Model(list(openvino_network._channel_moments(parameter)), [parameter], "moments")
    means, squares = _compiled(graph)([features]).values()
    exact = features.astype(np.float64)
    np.testing.assert_allclose(means.ravel(), exact.mean(axis=(0, 2, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(squares.ravel(), (exact**2).mean(axis=(0, 2, 3, 4)), rtol=1e-6)
