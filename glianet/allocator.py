"""Keeps the memory of freed activations in the process, so that the next patch finds it in place."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
"""Parameters of mallopt(3), from glibc's malloc.h."""


def keep_freed_memory() -> bool:
    """Tells glibc to serve large blocks from its heap and to keep them there; whether it could.

    By default each activation of 96^3 voxels is fresh memory from the system, given back at once: on two cores a
    quarter to a half of a patch's processor time goes into clearing its pages. For a process of its own that runs the
    network; call it before the first patch, and `give_back_freed_memory` when there is nothing to do.
    """
    mallopt = _glibc_function("mallopt")
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> None:
    """Returns what is kept to the system, between two volumes."""
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc_function(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
