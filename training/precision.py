"""Numbers that a training's forward pass is computed in."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AMPERE = 8
"""Major compute capability of the first NVIDIA generation with instructions for bfloat16."""


class PrecisionError(Exception):
    """A precision cannot be had on a device."""


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of a name; "auto" takes bfloat16 where the device has instructions for it.

    On a CPU without them bfloat16 is emulated, at several times the cost of float32. Raises PrecisionError for float16
    on a CPU, whose gradients vanish.
    """
    if name == "auto":
        native = _has_bfloat16(device)
        return torch.bfloat16 if native else torch.float16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type != "cuda":
        raise PrecisionError("run.precision: float16 trains on CUDA alone; take float32, or bfloat16")
    return DTYPES[name]


@contextmanager
def computing_in(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Autocast, where fewer bits are wanted."""
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        yield


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= AMPERE
    return bool(torch.cpu._is_avx512_bf16_supported())
