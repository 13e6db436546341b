"""Checkpoints in the published format, and what pickle would run."""

import os
from pathlib import Path
from typing import Any

import torch

from glianet.network import GLIANet
from tests.glianet.formulas import formula_network


class RunsCommand:
    """What pickle rebuilds by running a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def published(network: GLIANet | None = None) -> dict[str, Any]:
    """A checkpoint in the published format, with the state of an optimiser that took one step."""
    network = network or formula_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {
        "num_epoch": 7,
        "epoch_finished": True,
        "num_iteration": 4200,
        "best_eval_score": 0.625,
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
    }


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path
