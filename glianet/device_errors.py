"""What PyTorch and OpenVINO raise when memory runs out or a device is lost, told apart and given a name."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from glianet.errors import DeviceLost, no_room

NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "bad allocation",
    "bad_alloc",
    "unable to find an engine",  # cuDNN, where no algorithm's workspace fits
)
"""How libraries say it in a RuntimeError: PyTorch on the CPU, CUDA, cuBLAS and cuDNN, OpenVINO."""


def runs_out_of_memory(problem: BaseException) -> bool:
    """Whether fewer patches at once, or another moment, may help."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(problem, RuntimeError) and any(words in str(problem) for words in NO_MEMORY)


def is_lost(problem: BaseException) -> bool:
    """Whether the device has failed in a way that lasts as long as the process: CUDA keeps such an error."""
    return isinstance(problem, torch.AcceleratorError) and not runs_out_of_memory(problem)


@contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
    """Raises OutOfMemory and DeviceLost for what the libraries say of them; lets everything else through."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if runs_out_of_memory(problem):
            raise no_room(device) from problem
        if is_lost(problem):
            raise DeviceLost(
                what=f"the device has failed ({str(problem).strip().splitlines()[0]})",
                where=f"device {device}",
                retry_helps=True,
                advice="The process must be started again; where it comes back, look at the driver's log",
            ) from problem
        raise
