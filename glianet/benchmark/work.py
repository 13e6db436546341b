"""How much arithmetic one patch is."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from glianet.benchmark.yardstick import evaluate_plainly
from glianet.folded_network import FoldedNetwork
from glianet.network import INPUT_CHANNELS, LOCATION_CHANNELS, LOCATION_SIZE, GLIANet
from glianet.tiling import GLOBAL_SIZE, PATCH_SIZE

WHOLE_BOX = (0, GLOBAL_SIZE - 1) * 3

ARRANGEMENTS = ("yardstick", "network", "folded")
"""`evaluate_plainly`; `GLIANet.segment`; `FoldedNetwork`, which OpenVINO's graph is arranged like."""


def gflop_per_patch(arrangement: str) -> float:
    """Multiplications and additions of the convolutions, in 10^9, from the shapes of their tensors alone.

    What a volume needs once, or a few cells of 6^3 of a patch, is left out for the network and the folded one.
    """
    with torch.device("meta"), torch.no_grad():
        network = GLIANet()
        patch, whole = (torch.empty(1, INPUT_CHANNELS, *[size] * 3) for size in (PATCH_SIZE, GLOBAL_SIZE))
        location = torch.empty(1, LOCATION_CHANNELS[-1], *[LOCATION_SIZE] * 3)
        if arrangement == "yardstick":
            return count_flop(lambda: evaluate_plainly(network.state_dict(), patch, whole, WHOLE_BOX)) / 1e9
        segment = network.segment if arrangement == "network" else FoldedNetwork(network)
        return count_flop(lambda: segment(patch, location)) / 1e9


def count_flop(compute: Callable[[], object]) -> int:
    """Multiplications and additions of the convolutions and matrix products in `compute`."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
