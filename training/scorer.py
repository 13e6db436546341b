"""Any trained weights as one thing: a volume in, the probability of each voxel out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glianet.device import choose_device
from glianet.engine import EngineSettings, score_volume
from glianet.errors import SettingsError
from glianet.load_model import load_model
from glianet.model import ComputeSettings
from glianet.volume import Volume
from glianet.weights_file import weights_sha256
from training.precision import DTYPES, computing_in

Progress = Callable[[int, int], None]
CHECKPOINT_ENDINGS = (".pt", ".pth")


@dataclass(frozen=True)
class Scorer:
    """model: its name; sha256: of the file, of several that of their digests.

    score: HU (D, H, W) int16 with its affine to probability, (D, H, W).
    """

    model: str
    sha256: str
    score: Callable[[NDArray[np.int16], NDArray[np.float64], Progress | None], NDArray[np.float32]]


def load_scorer(weights: Sequence[Path], compute: ComputeSettings, step: int = 48) -> Scorer:
    """Weights of GLIA-Net as the node runs them (safetensors), or one best.pt or checkpoint.pt of any training.

    compute: of a checkpoint device and precision alone. step: voxels that the window moves. Raises GliaNetError or
    StateError where they cannot be used: means over several networks, or over mirror images, are the node's, so that
    they take weights of GLIA-Net alone.
    """
    trained = [path for path in weights if path.suffix in CHECKPOINT_ENDINGS]
    if trained and (len(weights) > 1 or compute.flips):
        raise SettingsError(
            what=f"{trained[0]} is a training's checkpoint, which is scored by itself and without mirror images",
            where="weights",
            advice="Name it alone, without flips; of GLIA-Net, `glianet-training export` makes weights for a mean",
        )
    if trained:
        precision = "float32" if compute.precision == "auto" else compute.precision
        return _from_training(trained[0], compute.device, step, DTYPES[precision])
    loaded = load_model(weights, compute)
    settings = EngineSettings(step=step)

    def score(
        hu: NDArray[np.int16], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        return score_volume(Volume(hu, affine), loaded.model, settings, progress).probability

    return Scorer("glianet", loaded.sha256, score)


def _from_training(weights: Path, device: str, step: int, dtype: torch.dtype) -> Scorer:
    from training.sliding_window import score_volume_with
    from training.state import load_trained

    place = choose_device(device)
    model = load_trained(weights).to(place).eval()

    def score(
        hu: NDArray[np.int16], affine: NDArray[np.float64], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        with computing_in(dtype, place):
            return score_volume_with(model, hu, step=step, device=place, progress=progress)

    return Scorer(str(model.name), weights_sha256(weights), score)
