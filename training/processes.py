"""Several processes that train one network together, as torchrun starts them (data parallel)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """rank: number of this one, 0 for the first, which alone writes; count: of all."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this one keeps log and checkpoint."""
        return self.rank == 0


ALONE = Processes()


@contextmanager
def join_processes(device_type: str) -> Iterator[Processes]:
    """Joins the others that torchrun has started (RANK, WORLD_SIZE, LOCAL_RANK); alone where there are none."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    distributed.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        distributed.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], processes: Processes) -> None:
    """Sets every gradient to its mean over the processes, in one message; one that a process lacks counts as 0."""
    if processes.count == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([_gradient(parameter).flatten() for parameter in trained])
    distributed.all_reduce(flat)
    flat /= processes.count
    for parameter, mean in zip(trained, flat.split([parameter.numel() for parameter in trained]), strict=True):
        _gradient(parameter).copy_(mean.view_as(parameter))


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
