"""Peak memory of this process alone, from the kernel's own books."""

import os
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
"""proc(5). Not getrusage(2): what that calls the peak is inherited from the process that started this one."""


def peak_bytes() -> int:
    """The most memory this process has held since it began; 0 where the system does not tell."""
    return _read("VmHWM")


def resident_bytes() -> int:
    """Memory this process holds now; 0 where the system does not tell."""
    return _read("VmRSS")


def machine_bytes() -> int:
    """Memory of the machine; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read(name: str) -> int:
    if not STATUS.exists():
        return 0
    values = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    kilobytes, _unit = values[name].split()
    return int(kilobytes) * 1024
