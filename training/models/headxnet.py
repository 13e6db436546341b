"""HeadXNet as the paper compares with it (supplement, Implementation Details of Other Methods).

Park et al. (JAMA Network Open 2019) describe an SE-ResNeXt encoder, atrous spatial pyramid pooling and a decoder with
skip connections; the GLIA-Net paper gives the channels and that there is one max pooling.

    scale 1    stage 1:  8 -------------------------------------------> decode 8 -> logits 2
           max pooling |                                                   |
    scale 1/2  stage 2: 16 -------------------------------> decode 16 -----+
           strided     |                                       |
    scale 1/4  stage 3: 32 -------------------> decode 32 -----+
           strided     |                           |
    scale 1/8  stage 4: 64 ---> ASPP 64 -----------+
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from glianet.network import INPUT_CHANNELS

STAGE_CHANNELS = (8, 16, 32, 64)
"""Supplement: "the output channels for each encoder block"."""
ASPP_CHANNELS = 64
"""Supplement."""

STAGE_BLOCKS = (3, 4, 6, 3)
"""Residual blocks of each stage, as in the 50-layer SE-ResNeXt."""
CARDINALITY = 4
"""Groups of a grouped convolution. ResNeXt's 32 would leave a group less than one channel in the first stages."""
REDUCTION = 2
"""Channels to a hidden unit of squeeze-and-excitation. Its authors' 16 would leave half a unit in the first stage."""
ASPP_RATES = (1, 2, 4, 6)
"""Dilations in cells of 8 voxels: at 6, the three taps span the 12 cells of a patch of 96 voxels."""


class HeadXNet(nn.Module):
    """Encoder, ASPP and decoder; 962,734 parameters.

    GLIA-Net has 1,066,704. With the channels that the supplement states, the grouped convolutions of the encoder hold
    few: half of all parameters are in the ASPP. Stages 3 and 4 halve the scale by a strided convolution, as SE-ResNeXt
    does, since the only max pooling is spent between stages 1 and 2.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *deeper = STAGE_CHANNELS
        self.stem = _convolution(INPUT_CHANNELS, first, 3)
        self.stages = nn.ModuleList(
            _stage(in_channels, out_channels, blocks, stride)
            for (in_channels, out_channels), blocks, stride in zip(
                pairwise((first, first, *deeper)), STAGE_BLOCKS, (1, 1, 2, 2), strict=True
            )
        )
        self.pooling = nn.MaxPool3d(2)
        self.aspp = AtrousPyramid(STAGE_CHANNELS[-1], ASPP_CHANNELS)
        self.decoder = nn.ModuleList(
            DecodeStage(deep, skip) for deep, skip in pairwise((ASPP_CHANNELS, *STAGE_CHANNELS[-2::-1]))
        )
        self.output_conv = nn.Conv3d(first, 2, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Windowed patches (N, 3, S, S, S) -> logits (N, 2, S, S, S); S a multiple of 8."""
        skips: list[Tensor] = []
        deep = self.stem(patches)
        for number, stage in enumerate(self.stages):
            deep = stage(self.pooling(deep) if number == 1 else deep)
            skips.append(deep)
        deep = self.aspp(skips.pop())
        for decode in self.decoder:
            deep = decode(deep, skips.pop())
        return self.output_conv(deep)


class SEResNeXtBlock(nn.Module):
    """Residual block: 1x1x1, grouped 3x3x3, 1x1x1, squeeze-and-excitation.

    The middle is as wide as the output, as in ResNeXt 64x4d; `stride` is that of the grouped convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(in_channels, out_channels, 1),
            _convolution(out_channels, out_channels, 3, stride=stride, groups=CARDINALITY),
            nn.Conv3d(out_channels, out_channels, 1, bias=False),
            nn.BatchNorm3d(out_channels),
            SqueezeExcitation(out_channels),
        )
        self.shortcut = nn.Sequential()
        if in_channels != out_channels or stride > 1:
            self.shortcut.append(nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm3d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """(N, Ci, D, H, W) -> (N, Co, D / stride, H / stride, W / stride)."""
        return torch.relu(self.inner(features) + self.shortcut(features))


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a weight from 0 to 1 that follows from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool3d(1),
            nn.Conv3d(channels, channels // REDUCTION, 1),
            nn.ReLU(),
            nn.Conv3d(channels // REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, D, H, W) -> the same shape."""
        return features * self.weigh(features)


class AtrousPyramid(nn.Module):
    """ASPP: a 1x1x1 convolution, one 3x3x3 convolution for each rate and the mean of the patch, side by side.

    The mean's branch has no batch normalisation: there is one value of a channel for each patch, too few to normalise.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([_convolution(in_channels, out_channels, 1)])
        self.branches += [_convolution(in_channels, out_channels, 3, dilation=rate) for rate in ASPP_RATES]
        self.mean = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(in_channels, out_channels, 1), nn.ReLU())
        self.join = _convolution((len(ASPP_RATES) + 2) * out_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, Ci, D, H, W) -> (N, Co, D, H, W)."""
        views = [branch(features) for branch in self.branches]
        views.append(self.mean(features).expand_as(views[0]))
        return self.join(torch.cat(views, dim=1))


class DecodeStage(nn.Module):
    """Upsamples by 2 by a transposed convolution, joins the skip connection and convolves twice."""

    def __init__(self, deep_channels: int, skip_channels: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            nn.ConvTranspose3d(
                deep_channels, deep_channels, 3, stride=2, padding=1, output_padding=1, bias=False
            ),
            nn.BatchNorm3d(deep_channels),
            nn.ReLU(inplace=True),
        )
        self.join = nn.Sequential(
            _convolution(deep_channels + skip_channels, skip_channels, 3),
            _convolution(skip_channels, skip_channels, 3),
        )

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, Cd, S/2, S/2, S/2) and (N, Cs, S, S, S) -> (N, Cs, S, S, S)."""
        return self.join(torch.cat((self.upsample(deep), skip), dim=1))


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = SEResNeXtBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(SEResNeXtBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))


def _convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size but for its stride, batch normalisation, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )
