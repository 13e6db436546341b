"""The local segmentation network, arranged for inference: the same function of the same weights, with less work.

What is rearranged, all of it exact but for the rounding of float32 (docs/performance.md has the gain of each):

- A decoder block never joins the upsampled features and the skip connection. Both are normalised with the statistics
  that they have together, and the 1x1x1 convolutions that follow add up their two halves.
- The gate is computed at 6^3 cells, and multiplied with a view of the skip connection as 6 blocks along each axis.
- Probability needs the difference of the two logits only, so that the output convolution gives one channel. One
  channel would leave a processor's vector registers empty: a convolution of 4^3 with stride 2 gives 2^3 neighbouring
  voxels as 8 channels instead.
- Group normalisation and leaky ReLU are one multiplication, one addition and one maximum, with a scale and a shift for
  each channel. Sums are taken over runs of voxels and then over the runs, so that their error does not grow with the
  patch, and in float32 also where the features are bfloat16 or float16.
"""

import math
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from glianet.network import (
    LEAKY_SLOPE,
    LOCATION_SIZE,
    LONGEST_RUN,
    NORM_GROUPS,
    DecodeBlock,
    EncodeBlock,
    Gate,
    GLIANet,
    NormActivation,
    ResidualBlock,
)

BLOCK = 2
"""Edge of the block of voxels that the output convolution gives at once."""


class FoldedNetwork(nn.Module):
    """`GLIANet.segment` followed by the softmax: patches and location features in, aneurysm probability out.

    Has its own copy of the weights, so that it can be kept in another type than the network.
    """

    output_weight: Tensor
    output_bias: Tensor

    def __init__(self, network: GLIANet) -> None:
        super().__init__()
        network = deepcopy(network)
        self.encoders = nn.ModuleList(_Encode(cast(EncodeBlock, block)) for block in network.encoder_blocks)
        self.gates = nn.ModuleList(_Gate(cast(Gate, gate)) for gate in network.localizer_adaptor)
        self.decoders = nn.ModuleList(_Decode(cast(DecodeBlock, block)) for block in network.decoder_blocks)
        weight, bias = fold_output(network.output_conv)
        self.register_buffer("output_weight", weight)
        self.register_buffer("output_bias", bias)

    def forward(self, patches: Tensor, location: Tensor) -> Tensor:
        """(N, S, S, S) float32 probability of windowed patches (N, 3, S, S, S) at (N, 32, 6, 6, 6); S divides by 48."""
        skips: list[Tensor] = []
        deep = patches
        for encoder in self.encoders:
            deep = encoder(deep)
            skips.append(deep)
        skips.pop()
        for decoder, gate in zip(self.decoders, reversed(self.gates), strict=True):
            deep = decoder(deep, gate(skips.pop(), location))
        blocks = functional.conv3d(deep, self.output_weight, self.output_bias, stride=BLOCK, padding=1)
        return _unfold_blocks(torch.sigmoid(blocks.float()))


def fold_output(convolution: nn.Conv3d) -> tuple[Tensor, Tensor]:
    """Weight (8, C, 4, 4, 4) and bias (8,) that give, with stride 2, logit 1 minus logit 0 of the blocks of 2^3 voxels.

    convolution: 3x3x3, gives both logits of each voxel. Channel 4 z + 2 y + x of the result is the voxel (z, y, x) of
    the block.
    """
    assert convolution.bias is not None
    weight, bias = convolution.weight.detach(), convolution.bias.detach()
    difference = weight[1] - weight[0]
    folded = difference.new_zeros(BLOCK**3, len(difference), *(length + 1 for length in difference.shape[1:]))
    for channel in range(BLOCK**3):
        z, y, x = channel >> 2 & 1, channel >> 1 & 1, channel & 1
        folded[channel, :, z : z + 3, y : y + 3, x : x + 3] = difference
    return folded, (bias[1] - bias[0]).repeat(BLOCK**3)


def _unfold_blocks(blocks: Tensor) -> Tensor:
    """(N, 8, S/2, S/2, S/2) -> (N, S, S, S)."""
    count, _, *half = blocks.shape
    split = blocks.unflatten(1, (BLOCK, BLOCK, BLOCK))
    return split.permute(0, 4, 1, 5, 2, 6, 3).reshape(count, *(BLOCK * length for length in half))


class _Encode(nn.Module):
    def __init__(self, block: EncodeBlock) -> None:
        super().__init__()
        self.downsample = block.downsample
        self.residual = _Residual(block.residual_block1)

    def forward(self, features: Tensor) -> Tensor:
        return self.residual(functional.max_pool3d(features, 2) if self.downsample else features)


class _Residual(nn.Module):
    """A residual block of one input."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.tail = _Tail(block)
        self.conv1 = block.conv1
        self.res_conv = block.res_conv

    def forward(self, features: Tensor) -> Tensor:
        return self.tail(self.conv1(features), self.res_conv(features))


class _Tail(nn.Module):
    """A residual block behind its two 1x1x1 convolutions of the input."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = _Norm(block.bn1), _Norm(block.bn2), _Norm(block.bn3)
        self.conv2 = block.conv2
        self.conv3 = block.conv3

    def forward(self, inner: Tensor, residual: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.norm1(inner)))
        return self.norm3(self.conv3(inner).add_(residual))


class _Decode(nn.Module):
    """A decoder block of two inputs that are never joined."""

    def __init__(self, block: DecodeBlock) -> None:
        super().__init__()
        residual = block.residual_blocks.residual_block1
        self.de_conv = block.de_conv
        self.norm = _Norm(block.bn)
        channels = block.de_conv.out_channels
        self.conv1 = _TwoPartConvolution(residual.conv1, channels)
        self.res_conv = _TwoPartConvolution(residual.res_conv, channels)
        self.tail = _Tail(residual)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        upsampled, skip = self.norm.of_two(self.de_conv(deep), skip)
        return self.tail(self.conv1(upsampled, skip), self.res_conv(upsampled, skip))


class _TwoPartConvolution(nn.Module):
    """A 1x1x1 convolution of channels that come as two tensors."""

    first: Tensor
    second: Tensor

    def __init__(self, convolution: nn.Module, channels: int) -> None:
        super().__init__()
        assert isinstance(convolution, nn.Conv3d)
        first, second = convolution.weight.detach().tensor_split([channels], dim=1)
        self.register_buffer("first", first.contiguous())
        self.register_buffer("second", second.contiguous())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return functional.conv3d(first, self.first).add_(functional.conv3d(second, self.second))


class _Gate(nn.Module):
    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.conv = gate.conv

    def forward(self, skip: Tensor, location: Tensor) -> Tensor:
        """The skip connection, times the gate of the block of voxels that lies in a cell of the location feature.

        A new tensor: the next encoder block still needs the skip connection.
        """
        cells, blocks = torch.sigmoid(self.conv(location)), skip
        for axis in (2, 4, 6):
            cells = cells.unsqueeze(axis + 1)
            blocks = blocks.unflatten(axis, (LOCATION_SIZE, -1))
        return (blocks * cells).reshape(skip.shape)


class _Norm(nn.Module):
    """Group normalisation with 4 groups, then a leaky ReLU, in place."""

    def __init__(self, norm: NormActivation) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, features: Tensor) -> Tensor:
        scale, shift = self._scale_and_shift(*_channel_sums(features), features[0, 0].numel())
        return _apply(features, scale, shift)

    def of_two(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Both parts of the channels, normalised as if they were joined."""
        (sums, squares), (more_sums, more_squares) = _channel_sums(first), _channel_sums(second)
        sums, squares = torch.cat((sums, more_sums), 1), torch.cat((squares, more_squares), 1)
        scale, shift = self._scale_and_shift(sums, squares, first[0, 0].numel())
        count = first.shape[1]
        return _apply(first, scale[:, :count], shift[:, :count]), _apply(second, scale[:, count:], shift[:, count:])

    def _scale_and_shift(self, sums: Tensor, squares: Tensor, voxels: int) -> tuple[Tensor, Tensor]:
        """(N, C) float32 each, of sums and sums of squares (N, C) float64."""
        sums, squares = (moment.unflatten(1, (NORM_GROUPS, -1)) for moment in (sums, squares))
        count = sums.shape[2] * voxels
        mean = sums.sum(2, keepdim=True) / count
        variance = (squares.sum(2, keepdim=True) / count - mean.square()).clamp(min=0)
        scale = self.weight.view(NORM_GROUPS, -1) * (variance + self.eps).rsqrt()
        shift = self.bias.view(NORM_GROUPS, -1) - mean * scale
        return scale.flatten(1).float(), shift.flatten(1).float()


def _channel_sums(features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares of each channel, (N, C) float64, of (N, C, D, H, W)."""
    rows = features.permute(0, 2, 3, 4, 1).flatten(1, 3)
    runs = rows.unflatten(1, (-1, math.gcd(rows.shape[1], LONGEST_RUN)))
    sums = runs.sum(2, dtype=torch.float32)
    squares = runs.float().square().sum(2)
    return sums.double().sum(1), squares.double().sum(1)


def _apply(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    scale, shift = (part.to(features.dtype)[:, :, None, None, None] for part in (scale, shift))
    return functional.leaky_relu_(features.mul_(scale).add_(shift), LEAKY_SLOPE)
