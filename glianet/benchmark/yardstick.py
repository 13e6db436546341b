"""The plain evaluation of the published network: the whole of it for every patch, each layer as PyTorch has it.

Default memory layout, float32, nothing in place, gates brought to the size of the skip connections before their
convolution, and the global branch repeated for each patch: what the published code does.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from glianet.network import LEAKY_SLOPE, LOCAL_CHANNELS, LOCATION_SIZE, NORM_GROUPS, feature_cells

Tensors = Mapping[str, Tensor]
"""The 162 tensors of the published checkpoint, by name."""

GENERATOR = "global_localizer.feature_generator"
LOCALIZER = "global_localizer.localizer_generator"


def evaluate_plainly(
    tensors: Tensors, patch: Tensor, whole: Tensor, box: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Logits (1, 2, S, S, S) and risk logits (1, 2) of a windowed patch (1, 3, S, S, S).

    whole: (1, 3, 96, 96, 96), the windowed global image. box: that of the patch in it, inclusive ends.
    """
    location = _location(tensors, whole, box)
    skips: list[Tensor] = []
    deep = patch
    for scale in range(len(LOCAL_CHANNELS)):
        deep = _encode(tensors, f"encoder_blocks.{scale}", deep, downsample=scale > 0)
        skips.append(deep)
    skips.pop()
    for number, scale in enumerate(range(len(skips) - 1, -1, -1)):
        gated = _gated(tensors, f"localizer_adaptor.{scale}.conv", skips[scale], location)
        deep = _decode(tensors, f"decoder_blocks.{number}", deep, gated)
    return _convolved(tensors, "output_conv", deep), _risk(tensors, location)


def _location(tensors: Tensors, whole: Tensor, box: Sequence[int]) -> Tensor:
    """(1, 32, 6, 6, 6)."""
    features = whole
    for number in range(1, 6):
        features = _encode(
            tensors, f"{GENERATOR}.encode_block{number}", features, downsample=number in (2, 3)
        )
    z, y, x = (
        feature_cells(first, last, length)
        for first, last, length in zip(box[::2], box[1::2], features.shape[2:], strict=True)
    )
    location = functional.adaptive_max_pool3d(features[:, :, z, y, x], LOCATION_SIZE)
    for number in (1, 2):
        location = _encode(tensors, f"{LOCALIZER}.encode_block{number}", location, downsample=False)
    return location


def _risk(tensors: Tensors, location: Tensor) -> Tensor:
    activated = _normalised(
        tensors, "localizer_loss.bn1", _convolved(tensors, "localizer_loss.conv1", location)
    )
    pooled = functional.adaptive_max_pool3d(activated, 1)
    return _convolved(tensors, "localizer_loss.conv2", pooled).flatten(1)


def _gated(tensors: Tensors, name: str, skip: Tensor, location: Tensor) -> Tensor:
    pooled = functional.adaptive_avg_pool3d(location, (skip.shape[2], skip.shape[3], skip.shape[4]))
    return skip * torch.sigmoid(_convolved(tensors, name, pooled))


def _encode(tensors: Tensors, name: str, features: Tensor, *, downsample: bool) -> Tensor:
    entered = functional.max_pool3d(features, 2) if downsample else features
    return _residual(tensors, f"{name}.residual_block1", entered)


def _decode(tensors: Tensors, name: str, deep: Tensor, skip: Tensor) -> Tensor:
    weight = tensors[f"{name}.de_conv.weight"]
    upsampled = functional.conv_transpose3d(deep, weight, stride=2, padding=1, output_padding=1)
    joined = _normalised(tensors, f"{name}.bn", torch.cat((upsampled, skip), dim=1))
    return _residual(tensors, f"{name}.residual_blocks.residual_block1", joined)


def _residual(tensors: Tensors, name: str, features: Tensor) -> Tensor:
    inner = features
    for number in (1, 2):
        convolved = _convolved(tensors, f"{name}.conv{number}", inner)
        inner = _normalised(tensors, f"{name}.bn{number}", convolved)
    kept = f"{name}.res_conv.weight" not in tensors
    residual = features if kept else _convolved(tensors, f"{name}.res_conv", features)
    return _normalised(tensors, f"{name}.bn3", _convolved(tensors, f"{name}.conv3", inner) + residual)


def _convolved(tensors: Tensors, name: str, features: Tensor) -> Tensor:
    weight = tensors[f"{name}.weight"]
    return functional.conv3d(features, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def _normalised(tensors: Tensors, name: str, features: Tensor) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.leaky_relu(functional.group_norm(features, NORM_GROUPS, weight, bias), LEAKY_SLOPE)
