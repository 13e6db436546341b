"""Brings a published GLIA-Net checkpoint, as torch.save wrote it, into safetensors, and runs no code in it."""

import hashlib
import io
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glianet import __version__
from glianet.checkpoint import check_tensors, save_network
from glianet.errors import WeightsError
from glianet.findings import ALGORITHM_NAME, NOTICE
from glianet.network import GLIANet
from glianet.tiling import GLOBAL_SIZE, PATCH_SIZE
from glianet.weights_file import weights_sha256
from glianet.windows import WINDOWS_HU

LICENCE_NOTICE = (
    "These weights come from a file that you brought. The weights that the authors of GLIA-Net published are for "
    f"non-commercial research only and remain under the authors' terms. {NOTICE}"
)
ADVICE = "Give a GLIA-Net checkpoint as torch.save wrote it, in the published format and complete"

MODEL_STATE = "model_state_dict"
COUNTERS = ("num_epoch", "epoch_finished", "num_iteration", "best_eval_score")
PARALLEL_PREFIX = "module."
"""Before every name where the network was wrapped in DataParallel as it was saved."""

LARGEST_BYTES = 256 << 20
"""Of the file, and of what it unpacks to. The weights take 4.3 MB, and the state of Adam twice as much."""
COUNTER_LIMIT = 2.0**63
"""A counter of this size or more, an infinity among them, is no number worth keeping."""

FILE_BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""What torch.save writes first: a zip archive, or, before torch 1.6, a pickle."""

_NUMPY_SCALAR: Any = np.float64().__reduce__()[0]
NUMPY_NUMBERS: list[Any] = [
    _NUMPY_SCALAR,
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),  # its name before numpy 2
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    type(np.dtype(np.int64)),
    type(np.dtype(np.int32)),
]
"""What pickle needs beside torch's own list, for what numpy counted or computed. It makes numbers and runs nothing."""


@dataclass(frozen=True)
class ImportedCheckpoint:
    """SHA-256 of the checkpoint and of the file written from it, and the training counters that it held."""

    source_sha256: str
    target_sha256: str
    counters: dict[str, int | float]


def import_checkpoint(source: Path, target: Path, *, overwrite: bool = False) -> ImportedCheckpoint:
    """Writes the weights of a checkpoint to `target`, in safetensors format. The same file gives the same bytes.

    source: what torch.save wrote of a dict with `model_state_dict`, or of a bare state dict. Raises WeightsError when
    it is absent, too large, damaged, asks for code to be run, or does not hold exactly the finite float32 tensors of
    GLIA-Net, and when `target` exists and is not to be overwritten; OSError when `target` cannot be written.
    """
    if target.exists() and not overwrite:
        raise _in_the_way(target)
    content = _read(source)
    checkpoint = _unpickle(content, source)
    network = GLIANet()
    tensors = _tensors(checkpoint, source)
    check_tensors(tensors, network.state_dict(), source, ADVICE)
    network.load_state_dict(tensors)
    digest, counters = hashlib.sha256(content).hexdigest(), _counters(checkpoint)
    save_network(network, target, _metadata(network, source.name, digest, counters))
    return ImportedCheckpoint(digest, weights_sha256(target), counters)


def _in_the_way(target: Path) -> WeightsError:
    return WeightsError(
        what="the file exists already",
        where=str(target),
        advice="Give another name, or ask for it to be overwritten (--overwrite)",
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as problem:
        raise _refusal(path, problem.strerror or str(problem)) from problem
    if len(content) > LARGEST_BYTES:
        raise _refusal(path, f"it is larger than {LARGEST_BYTES >> 20} MiB")
    if not content.startswith(FILE_BEGINNINGS):
        raise _refusal(path, "it is no file that torch.save wrote")
    return content


def _refusal(path: Path, reason: str) -> WeightsError:
    return WeightsError(what=f"the checkpoint cannot be read ({reason})", where=str(path), advice=ADVICE)


def _unpickle(content: bytes, path: Path) -> Any:
    """What was given to torch.save, as far as it is tensors, numbers, text, lists and dicts of them."""
    try:
        if content.startswith(FILE_BEGINNINGS[0]):
            _check_archive(content)
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_NUMBERS):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as problem:  # a damaged file makes torch raise errors of any type
        code = _code_asked_for(str(problem))
        if code is None:
            raise _refusal(path, "it is damaged, cut short, or not written by torch.save") from problem
        raise _refusal(path, f"it holds code, which is not run: {code}") from problem


def _check_archive(content: bytes) -> None:
    """Raises where a checksum is wrong, which torch does not look at, or where more is packed than may be."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
            raise ValueError("it unpacks to too much")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} is wrong")


def _code_asked_for(message: str) -> str | None:
    """Name of the function or class that torch would not call, from its error message."""
    if "TorchScript" in message:
        return "TorchScript"
    found = re.search(r"GLOBAL ([\w.]*\w)", message) or re.search(r"but got <class '(\w+\.[\w.]+)'>", message)
    return found[1] if found else None


def _tensors(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    """The state dict, which may be the whole file, without DataParallel's prefix where every name has it."""
    state = checkpoint
    if not _is_state_dict(checkpoint):
        if not isinstance(checkpoint, dict) or MODEL_STATE not in checkpoint:
            raise _refusal(path, f"it holds no {MODEL_STATE}")
        state = checkpoint[MODEL_STATE]
    if not _is_state_dict(state):
        raise _refusal(path, f"its {MODEL_STATE} is no dict of names and dense tensors")
    if all(name.startswith(PARALLEL_PREFIX) for name in state):
        return {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in state.items()}
    return dict(state)


def _is_state_dict(candidate: Any) -> bool:
    if not isinstance(candidate, dict) or not candidate:
        return False
    names_are_text = all(isinstance(name, str) and name.isprintable() for name in candidate)
    return names_are_text and all(_is_dense(tensor) for tensor in candidate.values())


def _is_dense(candidate: Any) -> bool:
    """Whether it is a tensor with a value for each element: no sparse, nested or meta tensor."""
    return (
        isinstance(candidate, Tensor)
        and candidate.layout is torch.strided
        and candidate.device.type == "cpu"
        and not candidate.is_nested
    )


def _counters(checkpoint: dict[str, Any]) -> dict[str, int | float]:
    found = {name: checkpoint[name] for name in COUNTERS if _is_finite_number(checkpoint.get(name))}
    return {name: value if isinstance(value, int) else float(value) for name, value in found.items()}


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, int | float | np.float32) and bool(-COUNTER_LIMIT < value < COUNTER_LIMIT)


def _metadata(
    network: GLIANet, source_name: str, source_sha256: str, counters: dict[str, int | float]
) -> dict[str, Any]:
    tensors = network.state_dict().values()
    return {
        "made_by": f"import-checkpoint of glianet {__version__}",
        "source_file": source_name,
        "source_sha256": source_sha256,
        "architecture": {
            "name": ALGORITHM_NAME,
            "source": "Bo et al., Patterns 2021",
            "tensors": len(tensors),
            "parameters": sum(tensor.numel() for tensor in tensors),
        },
        "preprocessing": {"windows_hu": WINDOWS_HU, "patch_size": PATCH_SIZE, "global_size": GLOBAL_SIZE},
        "training_counters": counters,
        "notice": LICENCE_NOTICE,
    }
