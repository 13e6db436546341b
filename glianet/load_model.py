"""Weights files to a model that is ready to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glianet.allocator import give_back_freed_memory
from glianet.checkpoint import load_network
from glianet.errors import BackendError, WeightsError
from glianet.model import ComputeSettings, Model, prepare_model
from glianet.weights_file import DEFAULT_WEIGHTS, combined_sha256

LIBRARY_ERRORS = (RuntimeError, ImportError, KeyError, ValueError, MemoryError, OSError)
"""What safetensors, torch and OpenVINO raise beside their own errors: odd headers, drivers, no memory."""


@dataclass(frozen=True)
class LoadedModel:
    """A model and the SHA-256 of its weights: of the one file, or of the digests of several in their order."""

    model: Model
    sha256: str


def load_model(
    weights: Sequence[Path] = (DEFAULT_WEIGHTS,), settings: ComputeSettings | None = None
) -> LoadedModel:
    """Loads one network, or several whose probabilities and risks are averaged.

    Raises WeightsError, DeviceError and BackendError as `load_network` and `prepare_model` do.
    """
    if not weights:
        raise WeightsError(what="no weights file is named", where="weights")
    try:
        loaded = [load_network(path) for path in weights]
        model = prepare_model([one.network for one in loaded], settings or ComputeSettings())
    except LIBRARY_ERRORS as problem:
        raise BackendError(
            what=f"the network cannot be made ready ({type(problem).__name__}: {problem})",
            where=", ".join(map(str, weights)),
            retry_helps=True,
            advice="Free memory where that is it; else check weights, device and backend",
        ) from problem
    give_back_freed_memory()  # of making it ready: graphs, copies of weights
    return LoadedModel(model, combined_sha256([one.sha256 for one in loaded]))
