"""The U-Net that the paper compares with (supplement, Implementation Details of Other Methods).

"The encoder and decoder use the same structure as our model, except that it has no global feature to guide the
skip-connections": the blocks of GLIA-Net's local network, with batch normalisation.
"""

from torch import Tensor, nn
from torch.nn import functional

from glianet.network import LEAKY_SLOPE, NormActivation
from training.models.local_only import LocalNetwork

CHANNELS = (16, 40, 72, 144)
"""Of the encoder. The paper gives none, but a parameter scale like GLIA-Net's: the coarse scales are wider than there,
for what the global network has, while the finest, which costs the most time, stays."""


class UNet3D(LocalNetwork):
    """patch (N, 3, S^3) -> encoder 16, 40, 72, 144 -> decoder 72, 40, 16 -> logits (N, 2, S^3).

    1,050,986 parameters; GLIA-Net has 1,066,704.
    """

    def __init__(self) -> None:
        super().__init__(CHANNELS)
        _normalise_by_batch(self)


class BatchNormActivation(nn.BatchNorm3d):
    """Batch normalisation, then GLIA-Net's leaky ReLU."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, D, H, W) -> the same shape."""
        return functional.leaky_relu(super().forward(features), LEAKY_SLOPE)


def _normalise_by_batch(module: nn.Module) -> None:
    """Puts batch normalisation in the place of every group normalisation."""
    for name, child in module.named_children():
        if isinstance(child, NormActivation):
            setattr(module, name, BatchNormActivation(child.num_channels))
        else:
            _normalise_by_batch(child)
