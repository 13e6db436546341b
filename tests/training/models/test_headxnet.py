"""HeadXNet: the channels of the supplement, one max pooling, and its parts by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from training.models.headxnet import ASPP_RATES, AtrousPyramid, HeadXNet, SqueezeExcitation


def test_scales_and_channels() -> None:
    network, seen = HeadXNet().eval(), []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(tuple(output.shape[1:3]))

    for part in (*network.stages, network.aspp, *network.decoder):
        part.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.rand(1, 3, 32, 32, 32))
    assert seen == [(8, 32), (16, 16), (32, 8), (64, 4), (64, 4), (32, 8), (16, 16), (8, 32)]
    assert sum(isinstance(module, nn.MaxPool3d) for module in network.modules()) == 1


def test_parameters_counted_by_formula() -> None:
    stages = [(8, 8, 3, 1), (8, 16, 4, 1), (16, 32, 6, 2), (32, 64, 3, 2)]
    encoder = _convolution(3, 8, 27) + sum(_stage(*stage) for stage in stages)
    aspp = _convolution(64, 64, 1) + 4 * _convolution(64, 64, 27) + (64 * 64 + 64) + _convolution(6 * 64, 64, 1)
    decoder = sum(_decode(deep, skip) for deep, skip in ((64, 32), (32, 16), (16, 8)))
    assert encoder + aspp + decoder + 8 * 2 + 2 == 962_734
    assert sum(parameter.numel() for parameter in HeadXNet().parameters()) == 962_734


def test_squeeze_and_excitation_by_hand() -> None:
    """Means 0.5 and 0.5 add up to 1 in the hidden unit; sigmoids of ln 3 and 0 are 0.75 and 0.5."""
    layer = SqueezeExcitation(2)
    values = {"weigh.1.weight": [1.0, 1.0], "weigh.1.bias": [0.0], "weigh.3.weight": [math.log(3), 0.0]}
    values["weigh.3.bias"] = [0.0, 0.0]
    shapes = {name: tensor.shape for name, tensor in layer.state_dict().items()}
    layer.load_state_dict({name: torch.tensor(given).view(shapes[name]) for name, given in values.items()})
    features = torch.tensor([[0.0, 1.0], [0.2, 0.8]]).view(1, 2, 2, 1, 1)
    expected = torch.tensor([0.0, 0.75, 0.1, 0.4])
    torch.testing.assert_close(layer(features).flatten(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("number", range(len(ASPP_RATES)))
def test_atrous_convolutions_look_as_far_as_their_rate(number: int) -> None:
    rate, centre = ASPP_RATES[number], 7
    pyramid = AtrousPyramid(1, 1)
    features = torch.zeros(1, 1, 15, 15, 15, requires_grad=True)
    convolution = pyramid.branches[number + 1][0]
    convolution(features)[0, 0, centre, centre, centre].backward()
    assert features.grad is not None
    reached = {tuple(index) for index in (features.grad[0, 0].nonzero() - centre).tolist()}
    offsets = (-rate, 0, rate)
    assert reached == {(z, y, x) for z in offsets for y in offsets for x in offsets}


def _convolution(in_channels: int, out_channels: int, taps: int, groups: int = 1) -> int:
    return in_channels * out_channels * taps // groups + 2 * out_channels


def _block(in_channels: int, out_channels: int, stride: int) -> int:
    inner = _convolution(in_channels, out_channels, 1) + _convolution(out_channels, out_channels, 27, groups=4)
    hidden = out_channels // 2
    excitation = 2 * out_channels * hidden + hidden + out_channels
    shortcut = _convolution(in_channels, out_channels, 1) if (in_channels, 1) != (out_channels, stride) else 0
    return inner + _convolution(out_channels, out_channels, 1) + excitation + shortcut


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> int:
    return _block(in_channels, out_channels, stride) + (blocks - 1) * _block(out_channels, out_channels, 1)


def _decode(deep: int, skip: int) -> int:
    return _convolution(deep, deep, 27) + _convolution(deep + skip, skip, 27) + _convolution(skip, skip, 27)
