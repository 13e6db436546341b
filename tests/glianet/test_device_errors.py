import pytest
import torch

from glianet.device_errors import device_errors, is_lost, runs_out_of_memory
from glianet.errors import DeviceLost, OutOfMemory

CUDA = torch.device("cuda", 0)


def test_memory_that_this_computer_does_not_have_is_recognised() -> None:
    """PyTorch on the CPU says it in an error of no kind of its own."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert runs_out_of_memory(caught.value) and not is_lost(caught.value)


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc"),
    ],
)
def test_no_memory_is_told_as_such(problem: Exception) -> None:
    with pytest.raises(OutOfMemory, match="device cuda:0: there is not enough memory") as caught, device_errors(CUDA):
        raise problem
    assert caught.value.retry_helps and caught.value.__cause__ is problem


def test_a_lost_device_is_told_as_such() -> None:
    with pytest.raises(DeviceLost, match=r"failed \(CUDA error: unspecified launch failure\)"), device_errors(CUDA):
        raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with ...")


@pytest.mark.parametrize("problem", [RuntimeError("shapes do not fit"), KeyError("x"), OSError("disk full")])
def test_everything_else_passes(problem: Exception) -> None:
    with pytest.raises(type(problem)) as caught, device_errors(CUDA):
        raise problem
    assert caught.value is problem
