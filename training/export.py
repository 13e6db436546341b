"""From a training checkpoint to weights that the node loads."""

import json
from pathlib import Path

from glianet.checkpoint import save_network
from training.phantom import GENERATOR_VERSION
from training.state import CHECKPOINT, SETTINGS, load_state, new_state

NOTICE = "Research use only. Trained on synthetic phantoms alone; no diagnostic value."


def export_weights(run: Path, target: Path) -> None:
    """Write the averaged weights of a training as safetensors, with where they come from as metadata.

    run: the folder that `train` wrote. Raises OSError when a file is absent or cannot be written.
    """
    seed = int(json.loads((run / SETTINGS).read_text())["seed"])
    state = new_state(seed, learning_rate=0.0)
    load_state(state, run / CHECKPOINT)
    metadata: dict[str, str | int] = {
        "architecture": "GLIA-Net (Bo et al., Patterns 2021), 1,066,704 parameters",
        "training": "synthetic head CTA phantoms, package `training` of this project",
        "training_seed": seed,
        "training_steps": state.step,
        "phantom_generator_version": GENERATOR_VERSION,
        "notice": NOTICE,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    save_network(state.average, target, metadata)
