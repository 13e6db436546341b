import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from glianet.folded_network import FoldedNetwork, fold_output
from glianet.network import GLIANet
from glianet.windows import to_channels
from tests.glianet.formulas import formula_network, formula_volume


def _inputs(size: int, count: int = 1) -> tuple[Tensor, Tensor]:
    """Windowed patches (N, 3, S, S, S), channels last, and locations, every one another."""
    rng = torch.Generator().manual_seed(size)
    hu = np.stack([formula_volume((size, size, size), seed) for seed in range(count)])
    return to_channels(torch.from_numpy(hu)), torch.randn((count, 32, 6, 6, 6), generator=rng)


def _probability(network: GLIANet, patches: Tensor, location: Tensor) -> Tensor:
    return torch.softmax(network.segment(patches, location), dim=1)[:, 1]


def _channels_last(module: nn.Module) -> nn.Module:
    return module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def folded(network: GLIANet) -> nn.Module:
    return _channels_last(FoldedNetwork(network))


@pytest.fixture(scope="module")
def two_probabilities(folded: nn.Module) -> Tensor:
    """(2, 48, 48, 48), of `_inputs(48, count=2)`."""
    with torch.inference_mode():
        return folded(*_inputs(48, count=2))


@torch.inference_mode()
def test_gives_the_probability_of_the_network(network: GLIANet, folded: nn.Module) -> None:
    patches, location = _inputs(96)
    computed = folded(patches, location)
    expected = _probability(network, patches, location)
    assert computed.shape == (1, 96, 96, 96) and computed.dtype == torch.float32
    assert (computed - expected).abs().max() < 1e-5
    assert expected.std() > 0.1, "probabilities that are all alike show nothing"


@torch.inference_mode()
def test_gives_the_probability_of_the_network_in_float64_for_two_patches(two_probabilities: Tensor) -> None:
    patches, location = _inputs(48, count=2)
    expected = _probability(formula_network().double(), patches.double(), location.double())
    assert (two_probabilities - expected).abs().max() < 1e-5


@torch.inference_mode()
def test_a_patch_that_is_nearly_all_air_is_as_exact(network: GLIANet, folded: nn.Module) -> None:
    """Many equal values: an error in their sum would not average out."""
    hu = np.full((96, 96, 96), -1000, np.int16)
    hu[:10] = formula_volume((96, 96, 96), seed=3)[40:50]
    patches, location = to_channels(torch.from_numpy(hu[None])), _inputs(48)[1]
    assert (folded(patches, location) - _probability(network, patches, location)).abs().max() < 1e-5


@torch.inference_mode()
def test_one_patch_alone_gives_the_same_in_another_memory_format_and_keeps_its_inputs(
    network: GLIANet, two_probabilities: Tensor
) -> None:
    patches, location = (tensor[1:].contiguous() for tensor in _inputs(48, count=2))
    before = patches.clone(), location.clone()
    alone = FoldedNetwork(network)(patches, location)
    torch.testing.assert_close(alone, two_probabilities[1:], rtol=0, atol=1e-5)
    assert (alone[0] - two_probabilities[0]).abs().max() > 0.1
    assert torch.equal(patches, before[0]) and torch.equal(location, before[1])


def test_the_network_keeps_its_values_and_type() -> None:
    network, untouched = formula_network(), formula_network().state_dict()
    folded = FoldedNetwork(network).to(torch.bfloat16)
    with torch.no_grad():
        for tensor in (*folded.parameters(), *folded.buffers()):
            tensor.zero_()
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, untouched[name])


def test_output_convolution_gives_the_difference_of_logits_of_blocks() -> None:
    convolution = nn.Conv3d(5, 2, 3, padding=1)
    features = torch.randn(2, 5, 6, 8, 10)
    weight, bias = fold_output(convolution)
    assert weight.shape == (8, 5, 4, 4, 4) and bias.shape == (8,)
    with torch.inference_mode():
        logits = convolution(features)
        blocks = functional.conv3d(features, weight, bias, stride=2, padding=1)
    difference = logits[:, 1] - logits[:, 0]
    for channel in range(8):
        z, y, x = channel // 4, channel // 2 % 2, channel % 2
        torch.testing.assert_close(blocks[:, channel], difference[:, z::2, y::2, x::2])


def test_folded_weights_are_those_of_the_kernel_moved_by_the_voxels_place() -> None:
    """Logit 1 is the voxel behind along x plus 3, logit 0 is twice the voxel itself plus 1."""
    convolution = nn.Conv3d(1, 2, 3, padding=1)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[1, 0, 1, 1, 2] = 1
        convolution.weight[0, 0, 1, 1, 1] = 2
        convolution.bias.copy_(torch.tensor([1.0, 3.0]))  # type: ignore[union-attr]
    weight, bias = fold_output(convolution)
    assert bias.tolist() == [2.0] * 8
    for channel in range(8):
        z, y, x = channel // 4, channel // 2 % 2, channel % 2
        expected = torch.zeros(4, 4, 4)
        expected[z + 1, y + 1, x + 2], expected[z + 1, y + 1, x + 1] = 1, -2
        assert torch.equal(weight[channel, 0], expected)
