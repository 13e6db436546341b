"""The U-Net: GLIA-Net's local structure, batch normalisation, and as many parameters as it says."""

import torch
from torch import nn

from training.models.local_only import LocalNetwork
from training.models.unet3d import BatchNormActivation, UNet3D

CHANNELS = (16, 40, 72, 144)


def test_parameters_counted_by_formula() -> None:
    encoder = sum(map(_residual, (3, *CHANNELS[:-1]), CHANNELS))
    decoder = sum(map(_decode, CHANNELS[:0:-1], CHANNELS[-2::-1]))
    assert encoder + decoder + 27 * 16 * 2 + 2 == 1_050_986
    assert sum(parameter.numel() for parameter in UNet3D().parameters()) == 1_050_986


def test_structure_is_that_of_the_local_network() -> None:
    own, local = (dict(network.named_modules()) for network in (UNet3D(), LocalNetwork()))
    assert own.keys() == local.keys()
    for name, layer in local.items():
        if isinstance(layer, nn.GroupNorm):
            assert isinstance(own[name], nn.BatchNorm3d)
        elif isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            other = own[name]
            assert isinstance(other, type(layer))
            assert (other.kernel_size, other.stride) == (layer.kernel_size, layer.stride)


def test_batch_normalisation_by_hand() -> None:
    """Values -1 and 3: mean 1, deviation 2, so -1 and 1, and the leaky ReLU leaves -0.01 and 1."""
    layer = BatchNormActivation(1)
    result = layer(torch.tensor([-1.0, 3.0]).view(2, 1, 1, 1, 1))
    torch.testing.assert_close(result.flatten(), torch.tensor([-0.01, 1.0]), rtol=0, atol=1e-5)


def _residual(in_channels: int, out_channels: int) -> int:
    middle = out_channels // 2
    convolutions = in_channels * middle + 27 * middle**2 + middle * out_channels
    shortcut = in_channels * out_channels if in_channels != out_channels else 0
    return convolutions + shortcut + 2 * (middle + middle + out_channels)


def _decode(deep: int, skip: int) -> int:
    return 27 * deep**2 + 2 * (deep + skip) + _residual(deep + skip, skip)
