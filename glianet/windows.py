"""The three HU windows that are the channels of the network's input."""

import torch
from torch import Tensor

WINDOWS_HU = ((0.0, 100.0), (100.0, 200.0), (200.0, 800.0))
"""(lower, upper) HU of each channel; Supplemental Experimental Procedures, Input Transformation."""

AIR_AND_BELOW_HU = 0
"""At and below this value every channel is 0."""


def window_ends(device: torch.device) -> Tensor:
    """(3, 2) float32, HU: lower and upper end of each window, on the device."""
    return torch.tensor(WINDOWS_HU, dtype=torch.float32, device=device)


def to_channels(hu: Tensor, ends: Tensor | None = None) -> Tensor:
    """(..., D, H, W) HU of any real type -> (..., 3, D, H, W) float32, each window mapped to 0 to 1 and clamped.

    A batch (N, D, H, W) comes out in the memory format channels_last_3d. ends: of `window_ends`, for callers that must
    not copy anything to the device.
    """
    lower, upper = (window_ends(hu.device) if ends is None else ends).unbind(1)
    channels = (hu.to(torch.float32).unsqueeze(-1) - lower).div_(upper - lower).clamp_(0.0, 1.0)
    return channels.movedim(-1, -4)
