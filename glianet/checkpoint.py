"""Keeps a network's weights in a safetensors file and brings them back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from glianet.device import choose_device
from glianet.durable import write_durably
from glianet.errors import WeightsError
from glianet.network import GLIANet
from glianet.weights_file import DEFAULT_WEIGHTS, METADATA_KEY, read_metadata, unreadable

MOST_NAMED = 12
"""Tensors that an error of a start names: it stands in the log and in the database of a node."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network that is ready to run, the SHA-256 of the file it came from, and the file's metadata."""

    network: GLIANet
    sha256: str
    metadata: dict[str, Any]


def load_network(path: Path = DEFAULT_WEIGHTS, device: str = "cpu") -> LoadedNetwork:
    """The network of a safetensors file, on the device, in evaluation mode.

    Raises WeightsError when the file is absent, damaged, holds a value that is not finite, or when a tensor is
    missing, unknown, or of another shape or type: the first few such tensors are named, and how many there are.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
    except (OSError, safetensors.SafetensorError) as problem:
        raise unreadable(path, problem) from problem
    network = GLIANet()
    advice = "Give a file that the training module or import-checkpoint wrote"
    check_tensors(tensors, network.state_dict(), path, advice, most=MOST_NAMED)
    network.load_state_dict(tensors)
    network.to(choose_device(device)).eval()
    return LoadedNetwork(network, hashlib.sha256(content).hexdigest(), read_metadata(path))


def save_network(network: GLIANet, path: Path, metadata: Mapping[str, Any]) -> None:
    """Writes the weights and the metadata (JSON values). The same arguments give the same bytes. Raises OSError."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    # One key only: safetensors writes several in an order that differs from run to run.
    text = json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    write_durably(path, safetensors.torch.save(tensors, metadata={METADATA_KEY: text}))


def check_tensors(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path, advice: str, most: int | None = None
) -> None:
    """Raises WeightsError that names every tensor that is missing, unknown, of another shape or type, or not finite.

    most: how many of them to name; None for all.
    """
    missing = [f"{name} is missing" for name in expected if name not in found]
    unknown = [f"{name} is not of this network" for name in found if name not in expected]
    unfit = [
        problem for name in expected if name in found for problem in _tensor_problems(name, found[name], expected[name])
    ]
    if problems := [*missing, *unknown, *unfit]:
        counts = f"{len(missing)} missing, {len(unknown)} unknown, {len(unfit)} unfit of {len(expected)} tensors"
        named = "; ".join(problems[:most]) + ("; and others" if len(problems) > len(problems[:most]) else "")
        raise WeightsError(
            what=f"the weights are not those of GLIA-Net ({counts}): {named}",
            where=str(path),
            advice=advice,
        )


def _tensor_problems(name: str, found: Tensor, expected: Tensor) -> list[str]:
    if found.shape != expected.shape:
        return [f"{name} has shape {tuple(found.shape)} instead of {tuple(expected.shape)}"]
    if found.dtype != expected.dtype:
        return [f"{name} is {found.dtype} instead of {expected.dtype}"]
    return [] if bool(torch.isfinite(found).all()) else [f"{name} holds a value that is not finite"]
