"""What a training needs to go on after it was stopped, in one file that is always whole."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from glianet.checkpoint import load_network
from glianet.network import GLIANet

CHECKPOINT, SETTINGS = "checkpoint.pt", "settings.json"
"""Files in the folder of a training."""


@dataclass
class TrainingState:
    """The network, its running average over the steps (what is shipped), the optimiser and the next step."""

    network: GLIANet
    average: GLIANet
    optimizer: torch.optim.Optimizer
    step: int = 0


def new_state(seed: int, learning_rate: float) -> TrainingState:
    """An untrained network, initialised from the seed."""
    torch.manual_seed(seed)
    network, average = GLIANet(), GLIANet()
    average.load_state_dict(network.state_dict())
    return TrainingState(network, average, torch.optim.Adam(network.parameters(), lr=learning_rate))


def save_state(state: TrainingState, path: Path) -> None:
    """Write the checkpoint beside its place and move it there: a reader sees the old one or the new one."""
    temporary = path.with_suffix(".tmp")
    content = {
        "step": state.step,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(state: TrainingState, path: Path) -> None:
    """Fill a new state from a checkpoint."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    state.network.load_state_dict(content["network"])
    state.average.load_state_dict(content["average"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.step = int(content["step"])


def start_from(state: TrainingState, weights: Path) -> None:
    """Fill a new state from weights in safetensors format; the optimiser knows nothing yet. Raises WeightsError."""
    loaded = load_network(weights).network.state_dict()
    state.network.load_state_dict(loaded)
    state.average.load_state_dict(loaded)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network; early on faster, so that the first weights are forgotten."""
    decay = min(decay, (1 + step) / (10 + step))
    for kept, current in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)
