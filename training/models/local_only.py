"""GLIA-Net without its global positioning network (paper, Table S1): the local network with ungated skips."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from glianet.network import INPUT_CHANNELS, LOCAL_CHANNELS, DecodeBlock, EncodeBlock


class LocalNetwork(nn.Module):
    """The local segmentation network of GLIA-Net, its blocks and their names; 820,682 parameters.

    patch (N, 3, S^3) -> encoder 16, 32, 64, 128 -> decoder 64, 32, 16 -> logits (N, 2, S^3)

    Without location feature there is nothing to gate a skip connection by, so that it passes as it is.
    """

    def __init__(self, channels: Sequence[int] = LOCAL_CHANNELS) -> None:
        """channels: of the encoder from the finest scale to the coarsest, multiples of 8."""
        super().__init__()
        self.encoder_blocks = nn.ModuleList(
            EncodeBlock(in_channels, out_channels, downsample=scale > 0)
            for scale, (in_channels, out_channels) in enumerate(pairwise((INPUT_CHANNELS, *channels)))
        )
        self.decoder_blocks = nn.ModuleList(DecodeBlock(deep, skip) for deep, skip in pairwise(channels[::-1]))
        self.output_conv = nn.Conv3d(channels[0], 2, 3, padding=1)

    def forward(self, patches: Tensor) -> Tensor:
        """Windowed patches (N, 3, S, S, S) -> logits (N, 2, S, S, S); S a multiple of 8."""
        skips: list[Tensor] = []
        deep = patches
        for block in self.encoder_blocks:
            deep = block(deep)
            skips.append(deep)
        skips.pop()
        for block in self.decoder_blocks:
            deep = block(deep, skips.pop())
        return self.output_conv(deep)
