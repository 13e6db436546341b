"""The floor of free disk space, receiver.minimum_free_gib: below it nothing more is taken."""

from pathlib import Path

from storage.durable import free_bytes

GIB = 1024**3
BELOW_THE_FLOOR = "free disk space is below the set minimum"


def is_below_the_floor(folder: Path, minimum_free_bytes: int) -> bool:
    """Whether less than that is free where `folder` lies. Raises StorageError."""
    return free_bytes(folder) < minimum_free_bytes
