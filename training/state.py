"""What a training needs to go on after it was stopped, in one file that is always whole."""

import json
import os
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.load_recipe import recipe_from_json
from training.models.build_model import SegmentationModel, build_model
from training.recipe import Recipe

CHECKPOINT, BEST, RECIPE = "checkpoint.pt", "best.pt", "recipe.json"
"""Files in the folder of a training."""

WARM_UP = 10
"""The running mean forgets the first weights over about so many steps."""

Mistakes = dict[str, list[tuple[int, int, int]]]


class StateError(Exception):
    """A checkpoint cannot be used; the text says which and why."""


@dataclass
class TrainingState:
    """The model, its running mean over the steps (the model itself where there is none), the optimiser, the next step.

    best: the greatest validation score so far. mistakes: of each case, where later negative patches look again.
    """

    model: SegmentationModel
    average: SegmentationModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    best: float = -1.0
    mistakes: Mistakes = field(default_factory=dict)


def new_state(recipe: Recipe, device: torch.device, dtype: torch.dtype = torch.float32) -> TrainingState:
    """A model with random weights from the seed, or with the recipe's initial ones."""
    torch.manual_seed(recipe.run.seed)
    model = build_model(recipe.model).to(device)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # a step on a CPU takes two thirds
    if recipe.run.initial_weights:
        _start_from(model, Path(recipe.run.initial_weights))
    average = deepcopy(model) if recipe.optimiser.average else model
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.optimiser.rate)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    return TrainingState(model, average.requires_grad_(average is model), optimizer, scaler)


def save_state(state: TrainingState, path: Path) -> None:
    """Write the checkpoint beside its place and move it there: a reader sees the old one or the new one."""
    content = {
        "step": state.step,
        "best": state.best,
        "mistakes": state.mistakes,
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    _write(content, path)


def save_best(state: TrainingState, path: Path) -> None:
    """Write the weights alone, of the running mean where there is one."""
    _write({"step": state.step, "best": state.best, "average": state.average.state_dict()}, path)


def load_state(state: TrainingState, path: Path) -> None:
    """Fill a new state from a checkpoint. Raises StateError where it is damaged or of another model."""
    content = read_checkpoint(path)
    try:
        state.model.load_state_dict(content["model"])
        state.average.load_state_dict(content["average"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.scaler.load_state_dict(content["scaler"])
        state.step, state.best = int(content["step"]), float(content["best"])
        state.mistakes = {name: [tuple(one) for one in found] for name, found in content["mistakes"].items()}
    except (KeyError, RuntimeError, ValueError) as problem:
        raise StateError(f"{path}: it is no checkpoint of this recipe ({problem})") from problem


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_state` or `save_best` wrote; code in the file is never run. Raises StateError."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises half a dozen kinds for a damaged file
        raise StateError(f"{path}: it cannot be read as a checkpoint ({problem})") from problem
    return content


def load_trained(path: Path) -> SegmentationModel:
    """The model of best.pt or checkpoint.pt, of the running mean where there is one. Raises StateError."""
    content = read_checkpoint(path)
    try:
        model = build_model(load_run_recipe(path.parent).model)
        model.load_state_dict(content["average"])
    except (KeyError, RuntimeError) as problem:
        raise StateError(f"{path}: its weights are not those of the recipe beside it ({problem})") from problem
    return model


def load_run_recipe(folder: Path) -> Recipe:
    """The recipe of a training. Raises StateError where the folder holds none, RecipeError where it is damaged."""
    try:
        return recipe_from_json(json.loads((folder / RECIPE).read_text()))
    except (OSError, ValueError) as problem:
        raise StateError(f"{folder / RECIPE}: the recipe of the training cannot be read ({problem})") from problem


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the running mean towards the model; early on faster. Statistics of batch norms are taken as they are."""
    if average is model:
        return
    decay = min(decay, (1 + step) / (WARM_UP + step))
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, 1 - decay)
    for statistic, latest in zip(average.buffers(), model.buffers(), strict=True):
        statistic.copy_(latest)


def _start_from(model: SegmentationModel, weights: Path) -> None:
    import safetensors.torch  # absent where training starts from nothing

    tensors = safetensors.torch.load_file(weights)
    try:
        model.network.load_state_dict(tensors)
    except RuntimeError as problem:
        raise StateError(f"{weights}: they are no weights of this model ({problem})") from problem


def _write(content: dict[str, Any], path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
