"""A weights file without its tensors: where it is, which one it is, and what it says of itself. Needs no torch."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glianet.errors import WeightsError

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "glianet-phantom.safetensors"
"""The weights that come with the package, trained on phantoms only."""

OUTLINE_THRESHOLD = 0.5
"""A voxel above it is taken for an aneurysm's (paper, page 7)."""

DETECTION_THRESHOLD = 0.7
"""That these weights want (docs/results.md): most of the overlapping patches must see a lesion before it is shown."""

METADATA_KEY = "glianet"
"""Key in the header's __metadata__ whose value is the metadata as JSON text."""

LARGEST_HEADER_BYTES = 1 << 20
"""A header of 162 tensors takes 20 kB."""


def weights_sha256(path: Path) -> str:
    """SHA-256 of the file, 64 hexadecimal digits. Raises WeightsError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise unreadable(path, problem) from problem


def combined_sha256(digests: Sequence[str]) -> str:
    """The digest of the one weights file; of several, the SHA-256 of their digests in a row."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """What was given to `save_network` as metadata; empty where another program wrote the file.

    Reads the header alone. Raises WeightsError when the file is absent or is no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= LARGEST_HEADER_BYTES:
                raise ValueError("it is no safetensors file")
            header = json.loads(file.read(length))
            metadata = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
        if not isinstance(metadata, dict):
            raise ValueError("its metadata is no table")
    except (OSError, ValueError, AttributeError) as problem:
        raise unreadable(path, problem) from problem
    return metadata


def unreadable(path: Path, problem: Exception) -> WeightsError:
    """The error for a weights file that cannot be read because of `problem`."""
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    return WeightsError(
        what=f"the weights cannot be read ({reason})",
        where=str(path),
        retry_helps=isinstance(problem, OSError),
        advice="A checkpoint of PyTorch goes through glianet import-checkpoint first"
        if path.suffix in (".pt", ".pth")
        else "Give the path of a GLIA-Net weights file in safetensors format",
    )
