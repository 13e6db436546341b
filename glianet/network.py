"""GLIA-Net in one file (Bo et al., Patterns 2021, Figure 1 and Supplemental Experimental Procedures).

Two pathways. The global positioning network sees the whole head at 96^3 and gives, for the box of a patch,
a location feature and the risk that the patch holds an aneurysm. The local segmentation network is a U-Net
over the patch at full resolution, whose skip connections are gated by the location feature.

    global input (1, 3, 96^3) -> feature generator -> (1, 128, 24^3)          once per volume
                                        | box of each patch, ROI max pooling to 6^3
                                        v
                              localizer generator -> location (N, 32, 6^3) -> risk logits (N, 2)
                                        | average pooling to each scale, 1x1x1 convolution, sigmoid
                                        v gates
    patch (N, 3, S^3) -> encoder 16, 32, 64, 128 -> decoder 64, 32, 16 -> logits (N, 2, S^3)

Module names are those of the published checkpoint, so that its tensors load by name: 162 tensors,
1,066,704 parameters.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_CHANNELS = 3
"""HU windows 0-100, 100-200 and 200-800 (see `glianet.windows`)."""
FEATURE_STRIDE = 4
"""Voxels of the global image to one cell of the global feature map."""
LOCATION_SIZE = 6
"""Cells along each axis of a patch's location feature."""

NORM_GROUPS = 4
LEAKY_SLOPE = 0.01
LONGEST_RUN = 256
"""Voxels that are added up in float32 before float64 takes over; a power of two."""
GLOBAL_CHANNELS = (8, 16, 32, 64, 128)
LOCATION_CHANNELS = (64, 32)
LOCAL_CHANNELS = (16, 32, 64, 128)


class GLIANet(nn.Module):
    """The whole network. Channel 1 of every pair of logits is the aneurysm, channel 0 the background."""

    def __init__(self) -> None:
        super().__init__()
        self.global_localizer = GlobalLocalizer()
        self.localizer_loss = RiskHead(LOCATION_CHANNELS[-1])
        self.encoder_blocks = nn.ModuleList(
            EncodeBlock(in_channels, out_channels, downsample=scale > 0)
            for scale, (in_channels, out_channels) in enumerate(_pairs((INPUT_CHANNELS, *LOCAL_CHANNELS)))
        )
        self.localizer_adaptor = nn.ModuleList(
            Gate(LOCATION_CHANNELS[-1], channels) for channels in LOCAL_CHANNELS[:-1]
        )
        self.decoder_blocks = nn.ModuleList(
            DecodeBlock(deep, skip) for deep, skip in _pairs(LOCAL_CHANNELS[::-1])
        )
        self.output_conv = nn.Conv3d(LOCAL_CHANNELS[0], 2, 3, padding=1)

    def forward(self, patches: Tensor, global_input: Tensor, boxes: "Boxes") -> tuple[Tensor, Tensor]:
        """Logits (N, 2, S, S, S) and risk logits (N, 2) of patches; arguments as in the three steps below."""
        location, risk_logits = self.localise(self.global_features(global_input), boxes)
        return self.segment(patches, location), risk_logits

    def global_features(self, global_input: Tensor) -> Tensor:
        """(B, 3, 96, 96, 96) windowed global image -> (B, 128, 24, 24, 24). Depends on the volume alone."""
        return self.global_localizer.feature_generator(global_input)

    def localise(self, features: Tensor, boxes: "Boxes") -> tuple[Tensor, Tensor]:
        """Location features (N, 32, 6, 6, 6) and risk logits (N, 2) of N patches.

        features: (1, 128, 24, 24, 24), shared by all boxes, or (N, ...), one for each.
        boxes: N rows (z0, z1, y0, y1, x0, x1), inclusive ends, voxels of the 96^3 global image.
        """
        location = self.global_localizer(features, boxes)
        return location, self.localizer_loss(location)

    def segment(self, patches: Tensor, location: Tensor) -> Tensor:
        """Logits (N, 2, S, S, S) of windowed patches (N, 3, S, S, S) at their location; S a multiple of 8."""
        skips: list[Tensor] = []
        deep = patches
        for block in self.encoder_blocks:
            deep = block(deep)
            skips.append(deep)
        skips.pop()
        for block, gate in zip(self.decoder_blocks, reversed(self.localizer_adaptor), strict=True):
            deep = block(deep, gate(skips.pop(), location))
        return self.output_conv(deep)


Boxes = Tensor | Sequence[Sequence[int]]


class GlobalLocalizer(nn.Module):
    """The global positioning network without its risk head."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_generator = EncodeBlocks((INPUT_CHANNELS, *GLOBAL_CHANNELS), downsampling=(2, 3))
        self.localizer_generator = EncodeBlocks((GLOBAL_CHANNELS[-1], *LOCATION_CHANNELS), downsampling=())

    def forward(self, features: Tensor, boxes: Boxes) -> Tensor:
        """(1 or N, 128, 24, 24, 24) and N boxes in the global image -> (N, 32, 6, 6, 6)."""
        return self.localizer_generator(_roi_max_pool(features, boxes))


class RiskHead(nn.Module):
    """Location feature -> two logits: does the patch hold an aneurysm?"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels // 2, 3, padding=1, bias=False)
        self.bn1 = NormActivation(channels // 2)
        self.conv2 = nn.Conv3d(channels // 2, 2, 1)

    def forward(self, location: Tensor) -> Tensor:
        """(N, C, 6, 6, 6) -> (N, 2)."""
        activated = self.bn1(self.conv1(location))
        return self.conv2(functional.adaptive_max_pool3d(activated, 1)).flatten(1)


class Gate(nn.Module):
    """Multiplies a skip connection by the sigmoid of the location feature, brought to the skip's size."""

    def __init__(self, location_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(location_channels, channels, 1)

    def forward(self, skip: Tensor, location: Tensor) -> Tensor:
        """(N, C, S, S, S) skip and (N, 32, 6, 6, 6) location -> gated skip.

        Average adaptive pooling of 6^3 to S^3 is linear and its averages' weights add up to 1, so that the convolution
        gives the same before it, on 216 cells instead of S^3. Where S is a multiple of 6 it only replicates cells, and
        the sigmoid may be taken before it, too.
        """
        size = (skip.shape[2], skip.shape[3], skip.shape[4])
        gate = self.conv(location)
        if all(length % LOCATION_SIZE == 0 for length in size):
            return skip * functional.interpolate(torch.sigmoid(gate), size=size, mode="nearest")
        return skip * torch.sigmoid(_average_pooled(gate, size))


class EncodeBlocks(nn.Module):
    """Encode blocks in a row, named encode_block1, encode_block2 and so on."""

    def __init__(self, channels: Sequence[int], downsampling: Sequence[int]) -> None:
        super().__init__()
        for number, (in_channels, out_channels) in enumerate(_pairs(channels), start=1):
            block = EncodeBlock(in_channels, out_channels, downsample=number in downsampling)
            self.add_module(f"encode_block{number}", block)

    def forward(self, features: Tensor) -> Tensor:
        for block in self.children():
            features = block(features)
        return features


class EncodeBlock(nn.Module):
    """Max pooling by 2 where it downsamples, then a residual block."""

    def __init__(self, in_channels: int, out_channels: int, *, downsample: bool) -> None:
        super().__init__()
        self.downsample = downsample
        self.residual_block1 = ResidualBlock(in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.residual_block1(functional.max_pool3d(features, 2) if self.downsample else features)


class DecodeBlock(nn.Module):
    """Upsamples by 2 by a transposed convolution and joins the gated skip connection."""

    def __init__(self, deep_channels: int, skip_channels: int) -> None:
        super().__init__()
        joined = deep_channels + skip_channels
        self.de_conv = nn.ConvTranspose3d(
            deep_channels, deep_channels, 3, stride=2, padding=1, output_padding=1, bias=False
        )
        self.bn = NormActivation(joined)
        self.residual_blocks = EncodeBlock(joined, skip_channels, downsample=False)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, Cd, S/2, S/2, S/2) and (N, Cs, S, S, S) -> (N, Cs, S, S, S)."""
        return self.residual_blocks(self.bn(torch.cat((self.de_conv(deep), skip), dim=1)))


class ResidualBlock(nn.Module):
    """Bottleneck 1x1x1, 3x3x3, 1x1x1 through half the output channels, with a residual connection."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 2
        self.conv1 = nn.Conv3d(in_channels, middle, 1, bias=False)
        self.bn1 = NormActivation(middle)
        self.conv2 = nn.Conv3d(middle, middle, 3, padding=1, bias=False)
        self.bn2 = NormActivation(middle)
        self.conv3 = nn.Conv3d(middle, out_channels, 1, bias=False)
        self.bn3 = NormActivation(out_channels)
        self.res_conv = (
            nn.Conv3d(in_channels, out_channels, 1, bias=False)
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        inner = self.bn1(self.conv1(features))
        inner = self.bn2(self.conv2(inner))
        return self.bn3(self.conv3(inner).add_(self.res_conv(features)))


class NormActivation(nn.GroupNorm):
    """Group normalisation with 4 groups, then a leaky ReLU.

    Without autograd and in channels_last_3d it works in place on its argument, which the caller must not
    need any more: fresh memory for every activation of 96^3 costs more than the arithmetic. PyTorch's own CPU
    kernel for this layout adds up 96^3 voxels in one float32 and is off by 2e-3 in unit variance: training
    may bear that, agreement with the published network to 1e-4 cannot.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(NORM_GROUPS, channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, D, H, W) -> the same shape."""
        channels_last = features.is_contiguous(memory_format=torch.channels_last_3d)
        if torch.is_grad_enabled() or not channels_last:
            return functional.leaky_relu(super().forward(features), LEAKY_SLOPE)
        scale, shift = self._scale_and_shift(features)
        return functional.leaky_relu_(features.mul_(scale).add_(shift), LEAKY_SLOPE)

    def _scale_and_shift(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, 1, 1, 1) each: normalisation and affine transform as one multiplication and one addition."""
        sums, squares = (moment.unflatten(1, (self.num_groups, -1)) for moment in _channel_moments(features))
        count = sums.shape[2] * features[0, 0].numel()
        mean = sums.sum(2) / count
        variance = (squares.sum(2) / count - mean.square()).clamp(min=0)
        weight, bias = self.weight.view(self.num_groups, -1), self.bias.view(self.num_groups, -1)
        scale = weight * (variance + self.eps).rsqrt()[:, :, None]
        shift = bias - mean[:, :, None] * scale
        shape = (*features.shape[:2], 1, 1, 1)
        return scale.to(features.dtype).reshape(shape), shift.to(features.dtype).reshape(shape)


def _average_pooled(cells: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, 6, 6, 6) -> (N, C, *size), as adaptive average pooling does; a matrix product for each axis.

    The result is in channels_last_3d. PyTorch's own pooling took a sixth of a training step on patches of 64^3.
    """
    pooled = cells.permute(0, 2, 3, 4, 1)
    for axis in (3, 2, 1):
        shape = pooled.shape
        spread = pooled.new_tensor(_averages(shape[axis], size[axis - 1]))
        rows = spread @ pooled.reshape(math.prod(shape[:axis]), shape[axis], -1)
        pooled = rows.reshape(*shape[:axis], size[axis - 1], *shape[axis + 1 :])
    return pooled.permute(0, 4, 1, 2, 3)


def _averages(cells: int, length: int) -> list[list[float]]:
    """(length, cells): row i averages the cells from floor(i cells / length) up to ceil((i + 1) cells / length)."""
    rows = []
    for i in range(length):
        first, end = i * cells // length, -(-(i + 1) * cells // length)
        rows.append([(first <= cell < end) / (end - first) for cell in range(cells)])
    return rows


def _roi_max_pool(features: Tensor, boxes: Boxes) -> Tensor:
    """(1 or N, C, 24, 24, 24) and N boxes -> (N, C, 6, 6, 6): adaptive max pooling of the cells under a box."""
    rows = boxes.tolist() if isinstance(boxes, Tensor) else boxes
    pooled = []
    for number, row in enumerate(rows):
        ends = zip(row[::2], row[1::2], features.shape[2:], strict=True)
        window = (feature_cells(first, last, length) for first, last, length in ends)
        source = features[number if len(features) > 1 else 0]
        pooled.append(functional.adaptive_max_pool3d(source[(slice(None), *window)], LOCATION_SIZE))
    return torch.stack(pooled)


def feature_cells(first: int, last: int, length: int) -> slice:
    """Cells under voxels `first` to `last` of the global image, along an axis of the feature map of `length` cells.

    Both ends are divided by the stride and rounded half to even; both are inclusive and clipped to the map.
    """
    return slice(max(round(first / FEATURE_STRIDE), 0), min(round(last / FEATURE_STRIDE), length - 1) + 1)


def _channel_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and sum of squares of each channel, (N, C) float64, of (N, C, D, H, W) in channels_last_3d.

    Runs of voxels are added up in float32 and the runs in float64: the error does not grow with the volume.
    """
    rows = features.permute(0, 2, 3, 4, 1).flatten(1, 3)
    runs = rows.unflatten(1, (-1, math.gcd(rows.shape[1], LONGEST_RUN)))
    norms = torch.linalg.vector_norm(runs, dim=2, dtype=torch.float32)
    return runs.sum(2, dtype=torch.float32).double().sum(1), norms.double().square().sum(1)


def _pairs(channels: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(channels[:-1], channels[1:], strict=True))
