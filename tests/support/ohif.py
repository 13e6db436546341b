"""OHIF on an Orthanc, with studies in it: everything that a test of the viewer needs, or why it cannot be had."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ohif_browser import Viewer, needed_program, open_viewer
from tests.support.ohif_packages import OHIF, Unavailable, fetch_packages
from tests.support.ohif_server import served_viewer
from tests.support.ohif_study import ViewerStudy
from tests.support.orthanc import Orthanc, orthanc

PICTURES = "OHIF_PICTURES"
"""The environment variable that names a folder to keep the pictures in."""


@dataclass(frozen=True)
class ViewerArchive:
    """An archive with a viewer before it."""

    address: str
    folder: Path
    archive: Orthanc

    def add(self, study: ViewerStudy) -> ViewerStudy:
        """Put a study with all its results into the archive."""
        self.archive.upload(study.ct_files)
        for kind in sorted({one.kind for one in study.results}):
            self.archive.upload(_write(self.folder / "results" / study.study_instance_uid, study, kind))
        return study

    @contextmanager
    def new_viewer(self, name: str, size: tuple[int, int]) -> Iterator[Viewer]:
        """A browser of its own, its window of `size`.

        Its pictures go below the archive's folder, or below the folder that $OHIF_PICTURES names.
        """
        pictures = Path(os.environ.get(PICTURES) or self.folder) / name
        with open_viewer(self.address, pictures, size) as viewer:
            yield viewer


@contextmanager
def viewer_archive(folder: Path) -> Iterator[ViewerArchive]:
    """An empty archive and an OHIF that shows what is in it; skips, or in CI fails, where what it needs is absent."""
    try:
        needed_program("chromium", "chromium")
        needed_program("node", "nodejs")
        fetch_packages()
    except Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with (
        orthanc(folder / "archive") as archive,
        served_viewer(OHIF.folder / "dist", archive.http_port) as address,
    ):
        yield ViewerArchive(address, folder, archive)


def _write(folder: Path, study: ViewerStudy, kind: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for one in study.of_kind(kind):
        files.append(folder / f"{one.role}.dcm")
        files[-1].write_bytes(one.data)
    return files
