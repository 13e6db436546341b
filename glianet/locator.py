"""What the global positioning network knows about the patches of one volume."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glianet.global_volume import resample_global
from glianet.model import Flip, Member, Model
from glianet.risk import risk_grid
from glianet.tiling import GLOBAL_SIZE, global_box
from glianet.window_grid import Index, WindowGrid
from glianet.windows import to_channels


def locate_volume(model: Model, hu: NDArray[np.int16]) -> "list[Locator]":
    """One for each member and flip; the global features are computed here, once."""
    image = torch.from_numpy(resample_global(hu)[np.newaxis]).to(model.device)
    channels = to_channels(image)
    return [Locator(member, flip, hu.shape, channels) for member in model.members for flip in model.flips]


class Locator:
    """What one member's global positioning network knows about the patches of one volume, as it is or mirrored."""

    def __init__(self, member: Member, flip: Flip, shape: Index, global_channels: Tensor) -> None:
        self.member = member
        self.flip = flip
        self._shape = shape
        mirrored = global_channels.flip([axis + 2 for axis in flip]) if flip else global_channels
        self._features = member.network.global_features(mirrored)

    def risks(self, grid: WindowGrid, alive: Callable[[int, int], None]) -> NDArray[np.float32]:
        """(Nz, Ny, Nx)."""
        z, y, x = (self._ends(axis, starts) for axis, starts in enumerate(grid.starts))
        return risk_grid(self.member.network, self._features, (z, y, x), alive)

    def _ends(self, axis: int, starts: Sequence[int]) -> list[tuple[int, int]]:
        """The ends of boxes along one axis."""
        boxes = (self._box([start if number == axis else 0 for number in range(3)]) for start in starts)
        return [(box[2 * axis], box[2 * axis + 1]) for box in boxes]

    def probability(self, patches: Tensor, starts: Sequence[Index]) -> Tensor:
        """(N, 96, 96, 96) float32 of patches (N, 96, 96, 96) HU, in their own orientation."""
        location = self.member.network.global_localizer(self._features, [self._box(start) for start in starts])
        axes = [axis + 1 for axis in self.flip]
        probability = self.member.segment(patches.flip(axes) if axes else patches, location)
        return probability.flip(axes) if axes else probability

    def _box(self, start: Sequence[int]) -> list[int]:
        """The patch's box in the (mirrored) global image."""
        box = list(global_box(start, self._shape))
        for axis in self.flip:
            first, last = box[2 * axis : 2 * axis + 2]
            box[2 * axis : 2 * axis + 2] = GLOBAL_SIZE - 1 - last, GLOBAL_SIZE - 1 - first
        return box
