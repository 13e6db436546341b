"""Taking the files of a whole series out of the spool, in one step that a crash cannot cut in two."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.durable import sync_folder
from storage.errors import explained_os_errors
from storage.folder_lock import lock_folder
from storage.spool import DELETED_SUFFIX, Spool


class SeriesFiles:
    """The folder of one series, which nobody writes into while `hold_series` lasts.

    `paths`: its whole instances, relative to the spool. `set_aside_before`: a deletion came as far as `set_aside` and
    was interrupted, so that what stands in the folder now came afterwards.
    """

    def __init__(self, spool: Spool, folder: str, *, there: bool) -> None:
        self._there = there
        self._folder = spool.absolute(folder)
        self._aside = self._folder.with_name(folder + DELETED_SUFFIX)
        self.paths = frozenset(spool.files_of(folder))
        self.set_aside_before = self._aside.exists()

    def set_aside(self) -> None:
        """Rename the folder, so that its name is free for files that come from now on; durable."""
        with explained_os_errors(self._folder):
            if self._there:
                self._folder.rename(self._aside)
                sync_folder(self._folder.parent)


@contextmanager
def hold_series(spool: Spool, folder: str) -> Iterator[SeriesFiles]:
    """Hold up whoever wants to write an instance of this series. Raises StorageError."""
    path = spool.absolute(folder)
    with explained_os_errors(path):
        while (descriptor := lock_folder(path, exclusive=True)) is None and path.exists():
            pass  # it was made between the two looks
    try:
        yield SeriesFiles(spool, folder, there=descriptor is not None)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_set_aside(root: Path, folder: str) -> None:
    """Delete what was set aside of a series, where it was. Raises StorageError."""
    aside = root / (folder + DELETED_SUFFIX)
    with explained_os_errors(aside):
        if aside.exists():
            shutil.rmtree(aside)
            sync_folder(root)


def folders_set_aside(root: Path) -> list[str]:
    """The series of which something was set aside and is not deleted yet, by the names of their folders."""
    return sorted(path.name.removesuffix(DELETED_SUFFIX) for path in root.glob(f"*{DELETED_SUFFIX}"))
