"""OHIF on an Orthanc, with studies in it: everything that a test of the viewer needs, or why it cannot be had."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ohif_browser import Viewer, needed_program, open_viewer
from tests.support.ohif_packages import OHIF, Unavailable, fetch_packages
from tests.support.ohif_server import served_viewer
from tests.support.ohif_study import ViewerStudy
from tests.support.orthanc import orthanc

WINDOW = (1150, 480)  # pixels, each drawn by the CPU; wide enough for an image between the pane's controls
PICTURES = "OHIF_PICTURES"
"""The environment variable that names a folder to keep the pictures in."""


@contextmanager
def viewer_address(folder: Path, studies: Sequence[ViewerStudy]) -> Iterator[str]:
    """The address of an OHIF that shows the studies; skips, or in CI fails, where what it needs is absent."""
    try:
        needed_program("chromium", "chromium")
        needed_program("node", "nodejs")
        fetch_packages()
    except Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with orthanc(folder / "archive") as archive:
        for study in studies:
            archive.upload(study.ct_files)
            for kind in sorted({one.kind for one in study.results}):
                archive.upload(_write(folder / "results" / study.study_instance_uid, study, kind))
        with served_viewer(OHIF.folder / "dist", archive.http_port) as address:
            yield address


@contextmanager
def new_viewer(address: str, folder: Path, name: str) -> Iterator[Viewer]:
    """A browser of its own; its pictures go below `folder`, or the folder that $OHIF_PICTURES names."""
    pictures = Path(os.environ.get(PICTURES) or folder) / name
    with open_viewer(address, pictures, WINDOW) as viewer:
        yield viewer


def _write(folder: Path, study: ViewerStudy, kind: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for one in study.of_kind(kind):
        files.append(folder / f"{one.role}.dcm")
        files[-1].write_bytes(one.data)
    return files
