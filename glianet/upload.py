"""Brings a volume onto the device."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SLICES_AT_ONCE = 64


def upload(hu: NDArray[np.int16], device: torch.device) -> Tensor:
    """(D, H, W) int16 on the device. On the CPU it is the array itself.

    To CUDA by way of two pinned buffers in turn: one is filled while the other is being sent.
    """
    source = _tensor(hu)
    if device.type != "cuda":
        return source
    target = torch.empty(source.shape, dtype=source.dtype, device=device)
    shape = (min(SLICES_AT_ONCE, len(source)), *source.shape[1:])
    buffers = [torch.empty(shape, dtype=source.dtype, pin_memory=True) for _ in range(2)]
    sent = [torch.cuda.Event(), torch.cuda.Event()]
    for number, part in enumerate(source.split(shape[0])):
        buffer, event = buffers[number % 2][: len(part)], sent[number % 2]
        event.synchronize()
        buffer.copy_(part)
        target[number * shape[0] :][: len(part)].copy_(buffer, non_blocking=True)
        event.record(torch.cuda.current_stream(device))
    torch.cuda.synchronize(device)
    return target


def _tensor(hu: NDArray[np.int16]) -> Tensor:
    """The array as a tensor: of a read-only one too, which nobody here writes to, and a copy of a mirrored one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(hu if min(hu.strides) >= 0 else np.ascontiguousarray(hu))
