"""Which device the network runs on."""

import re
from contextlib import AbstractContextManager

import torch

from glianet.errors import DeviceError

DEVICE_NAME = re.compile(r"cpu|cuda(:[0-9]{1,2})?")


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:1" and so on.

    A CUDA device always has its number: some calls of PyTorch refuse one without.
    Raises DeviceError for anything else, and for a CUDA device that this machine or this PyTorch has not got.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if not DEVICE_NAME.fullmatch(name):  # torch takes "cuda:256" for "cuda:0"
        raise _no_device(name, "it is no device name")
    device = torch.device(name)
    if device.type == "cpu":
        return device
    number = device.index or 0
    if number >= torch.cuda.device_count():
        raise _no_device(name, f"PyTorch sees {torch.cuda.device_count()} CUDA devices here", later=True)
    return torch.device("cuda", number)


def float32_convolutions() -> AbstractContextManager[None]:
    """Convolutions on CUDA in full float32, not TF32, and by algorithms that give the same bytes every time."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False, fp32_precision="ieee")


def _no_device(name: str, what: str, *, later: bool = False) -> DeviceError:
    """later: whether the device may still come, as a driver that loads after the node has started."""
    others = ', "cuda" or "cuda:N"' if torch.cuda.is_available() else ""
    advice = f'Use "auto" or "cpu"{others}'
    return DeviceError(what=what, where=f"device {name!r}", retry_helps=later, advice=advice)
