"""What every check of the doctor is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword

from dicom_node.clock import Clock
from dicom_node.folders import Folders
from dicom_node.settings import Settings

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Examination:
    """One examination of a storage folder.

    running: a node works there meanwhile. repair: what can be mended is mended. deep: every image and all findings are
    read. backup: where a database that is beyond repair may be taken from.
    """

    settings: Settings
    running: bool
    repair: bool
    deep: bool
    backup: Path | None
    actor: str
    clock: Clock
    progress: Progress

    @property
    def folders(self) -> Folders:
        return Folders(self.settings.storage.folder)

    @property
    def announced_count_tags(self) -> Sequence[int]:
        """The attributes that announce the number of instances."""
        tags = map(tag_for_keyword, self.settings.assembly.announced_count_attributes)
        return tuple(tag for tag in tags if tag is not None)
