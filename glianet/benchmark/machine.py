"""What the figures were measured on."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from glianet.benchmark.memory import machine_bytes

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16")
"""Instructions that matter here, by the names of /proc/cpuinfo."""


@dataclass(frozen=True)
class Machine:
    """processor, gpu: names ("" for no GPU in use). threads: that are used; cores: that this process may use.

    load: processes that wanted a core in the minute before; 0 where unknown: others than the benchmark slow it down.
    memory_bytes: of the machine, 0 where unknown. openvino: "" where it is not installed.
    """

    processor: str
    cores: int
    threads: int
    load: float
    flags: tuple[str, ...]
    memory_bytes: int
    gpu: str
    system: str
    python: str
    torch: str
    openvino: str


def describe_machine(device: torch.device, threads: int) -> Machine:
    """threads: that were asked for; 0 for as many as PyTorch takes."""
    lines = CPUINFO.read_text(errors="replace").splitlines() if CPUINFO.exists() else []
    return Machine(
        processor=_entry(lines, "model name") or platform.processor() or platform.machine(),
        cores=_cores(),
        threads=threads or torch.get_num_threads(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        flags=tuple(flag for flag in FLAGS if flag in _entry(lines, "flags").split()),
        memory_bytes=machine_bytes(),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        openvino=_version("openvino"),
    )


def _entry(lines: list[str], name: str) -> str:
    """The value of the first such line of /proc/cpuinfo."""
    found = (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name)
    return next(found, "")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
