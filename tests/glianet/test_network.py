import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glianet.network import Gate, GLIANet, NormActivation
from glianet.windows import to_channels
from tests.glianet.formulas import formula_volume, reference, tensor_shapes

AGREEMENT = 1e-4


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor]:
    """Windowed local and global input of the reference, channels last."""
    local, whole = (torch.from_numpy(formula_volume((96, 96, 96), seed))[None] for seed in (1, 2))
    return to_channels(local), to_channels(whole)


def test_tensors_bear_the_published_names_and_shapes() -> None:
    state = GLIANet().state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == tensor_shapes()
    assert sum(tensor.numel() for tensor in state.values()) == 1_066_704


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@torch.inference_mode()
def test_agrees_with_the_published_network(
    network: GLIANet, inputs: tuple[Tensor, Tensor], memory_format: torch.memory_format
) -> None:
    local, whole = (tensor.contiguous(memory_format=memory_format) for tensor in inputs)
    network.to(memory_format=memory_format)
    boxes = [reference()[f"{name}_bbox"].tolist() for name in ("net0", "net1")]
    features = network.global_features(whole)
    location, risk = network.localise(features, boxes)
    for number, name in enumerate(("net0", "net1")):
        logits = network.segment(local, location[number : number + 1])
        np.testing.assert_allclose(
            logits[0, :, 4::8, 4::8, 4::8], reference()[f"{name}_logits"], rtol=0, atol=AGREEMENT
        )
        np.testing.assert_allclose(risk[number], reference()[f"{name}_global"], rtol=0, atol=AGREEMENT)


@torch.inference_mode()
def test_forward_is_the_three_steps_in_a_row(network: GLIANet) -> None:
    patches, whole = torch.rand(2, 3, 16, 16, 16), torch.rand(1, 3, 96, 96, 96)
    boxes = torch.tensor([[0, 40, 0, 40, 0, 40], [3, 20, 5, 33, 50, 95]])
    location, risk = network.localise(network.global_features(whole), boxes)
    logits, risk_logits = network(patches, whole, boxes)
    assert logits.shape == (2, 2, 16, 16, 16)
    torch.testing.assert_close(logits, network.segment(patches, location))
    torch.testing.assert_close(risk_logits, risk)


@torch.inference_mode()
def test_features_may_be_shared_or_one_for_each_box(network: GLIANet) -> None:
    features = torch.rand(2, 128, 24, 24, 24)
    boxes = [(0, 40, 0, 40, 0, 40), (3, 20, 5, 33, 50, 95)]
    own, _ = network.localise(features, boxes)
    shared, _ = network.localise(features[1:], boxes)
    torch.testing.assert_close(own[1], shared[1])
    assert not torch.allclose(own[0], shared[0])


def test_a_box_covers_cells_rounded_half_to_even_and_clipped_to_the_map(network: GLIANet) -> None:
    """Ends 10 and 98 are cells 2.5 -> 2 and 24.5 -> 24, clipped to 23; 14 and 54 are 3.5 -> 4 and 13.5 -> 14."""
    features = torch.rand(1, 128, 24, 24, 24)
    seen: list[Tensor] = []
    handle = network.global_localizer.localizer_generator.register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0])
    )
    with torch.inference_mode():
        network.localise(features, [(10, 98, 14, 54, 0, 95)])
    handle.remove()
    cells = features[0, :, 2:24, 4:15, 0:24]
    torch.testing.assert_close(seen[0][0], functional.adaptive_max_pool3d(cells, 6))


@pytest.mark.parametrize("size", [24, 64])
@torch.inference_mode()
def test_gate_equals_pooling_then_convolution_then_sigmoid(size: int) -> None:
    gate = Gate(32, 16)
    skip, location = torch.rand(2, 16, size, size, size), torch.rand(2, 32, 6, 6, 6)
    pooled = functional.adaptive_avg_pool3d(location, size)
    torch.testing.assert_close(gate(skip, location), skip * torch.sigmoid(gate.conv(pooled)))


@torch.inference_mode()
def test_normalisation_in_place_is_as_exact_as_in_float64() -> None:
    layer = NormActivation(8)
    layer.weight.copy_(torch.linspace(0.5, 2, 8))
    layer.bias.copy_(torch.linspace(-1, 1, 8))
    features = 5 + torch.randn(2, 8, 96, 96, 96)
    normalised = functional.group_norm(features.double(), 4, layer.weight.double(), layer.bias.double())
    expected = functional.leaky_relu(normalised, 0.01)
    computed = layer(features.contiguous(memory_format=torch.channels_last_3d))
    assert (computed - expected).abs().max() < 2e-5


def test_every_parameter_gets_a_gradient() -> None:
    network = GLIANet()
    logits, risk = network(
        torch.rand(1, 3, 16, 16, 16), torch.rand(1, 3, 48, 48, 48), [(0, 20, 0, 20, 0, 20)]
    )
    (logits.square().mean() + risk.square().mean()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())
