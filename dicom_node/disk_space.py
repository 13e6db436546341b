"""How much is free on the disk of the storage folder, and whether anything is accepted with that."""

import math
from dataclasses import dataclass

from dicom_node.settings import Settings
from storage.durable import free_bytes

GIB = 1024**3
BELOW_THE_FLOOR = "free disk space is below the set minimum"  # what a sender is told


@dataclass(frozen=True)
class DiskSpace:
    """Bytes that the node may still write, and receiver.minimum_free_gib in bytes."""

    free_bytes: int
    floor_bytes: int

    @property
    def accepting(self) -> bool:
        """Whether the receiver takes anything: the rule of C-STORE and of requests for storage commitment."""
        return self.free_bytes >= self.floor_bytes

    @property
    def words(self) -> str:
        """Such as "0.02 GiB free, below receiver.minimum_free_gib: nothing is accepted"."""
        seen = f"{_gib(self.free_bytes)} GiB free"
        return seen if self.accepting else f"{seen}, below receiver.minimum_free_gib: nothing is accepted"


def disk_space(settings: Settings) -> DiskSpace:
    """As it is now. Raises StorageError."""
    return DiskSpace(free_bytes(settings.storage.folder), floor_bytes(settings))


def floor_bytes(settings: Settings) -> int:
    """receiver.minimum_free_gib in bytes."""
    return int(settings.receiver.minimum_free_gib * GIB)


def _gib(number: int) -> str:
    """Rounded down, so that what is below the floor does not read like the floor; more exact where little is left."""
    digits = 2 if number < GIB else 1
    return f"{math.floor(number / GIB * 10**digits) / 10**digits:.{digits}f}"
