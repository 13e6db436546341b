"""From a training to weights that the node loads."""

import math
from pathlib import Path
from typing import Any

import torch

from glianet.checkpoint import save_network
from training.models.build_model import LocatedModel
from training.origin import read_origin
from training.state import BEST, CHECKPOINT, StateError, load_run_recipe, load_trained, read_checkpoint

NOTICE = "Research use only. Trained on synthetic phantoms alone; no diagnostic value."
NOTICE_OF_CASES = "Research use only. Not for diagnosis."


def export_weights(run: Path, target: Path, threshold: float = 0.5) -> Path:
    """Write the weights of a training as safetensors, with where they come from as metadata; from which file.

    run: the folder that `train` wrote: the best by validation where there was one, else the last. The metadata hold
    those of the weights that the training began with, so that every stage is named. threshold: the probability of a
    patch, 0 to 1, that 0.5 shall stand for in what is written: the bias of the output is moved by its logit. Raises
    StateError where there is none or the model is not one that the node runs, WeightsError where it is not known what
    it began with, OSError when the file cannot be written.
    """
    source = run / (BEST if (run / BEST).exists() else CHECKPOINT)
    recipe, content = load_run_recipe(run), read_checkpoint(source)
    metadata: dict[str, Any] = {
        "architecture": "GLIA-Net (Bo et al., Patterns 2021), 1,066,704 parameters",
        "training": "cases of a manifest" if recipe.data.manifest else f"{recipe.data.generator} phantoms",
        "training_seed": recipe.run.seed,
        "training_steps": int(content["step"]),
        "patch_voxels": recipe.patches.size,
        "threshold_at_half": threshold,
        **read_origin(run, recipe),
        "notice": NOTICE_OF_CASES if recipe.data.manifest else NOTICE,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    model = load_trained(source)
    if not isinstance(model, LocatedModel):
        raise StateError(f"{run}: the node runs glianet, not {model.name}; evaluate {source.name} as it is")
    with torch.no_grad():
        model.network.output_conv.bias[1] -= math.log(threshold / (1 - threshold))  # type: ignore[index]
    save_network(model.network, target, metadata)
    return source
