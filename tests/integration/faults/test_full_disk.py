"""A disk that is really full: the storage folder on a small file system of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.send import store_file
from storage.states import SeriesState
from tests.integration.conftest import Model, Undisturbed
from tests.support.archive import TestArchive
from tests.support.head_series import is_kept_whole, scanner, send
from tests.support.node import NodeUnderTest

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 table B.2-1
MIB = 1 << 20
DISK_MIB = 64
ROOM_FOR = 0.4  # of the series
NO_FLOOR = {"receiver": {"minimum_free_gib": 0.0}}  # so that the disk itself says no, and not the node's floor


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "site" / "node"
    folder.mkdir(parents=True)
    options = f"size={DISK_MIB}m,mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount command")
def test_a_full_disk_refuses_and_loses_nothing(
    disk: Path, archive: TestArchive, model: Model, undisturbed: Undisturbed
) -> None:
    """Some slices are taken and kept, the others get 0xA700; with room again, the rest comes and the series ends."""
    series, filler = undisturbed.series, disk / "somebody-elses-file"
    with NodeUnderTest(disk.parent, [archive.destination], {**model, **NO_FLOOR}) as node:
        node.wait_until_ready("worker")
        leave_room(filler, int(ROOM_FOR * sum(file.stat().st_size for file in series.files)))
        with scanner(node.peer, series.files) as association:
            answers = [store_file(association, file, number).status for number, file in enumerate(series.files)]
        assert set(answers) == {SUCCESS, OUT_OF_RESOURCES}, "the association outlives the refusals"
        filler.unlink()
        send(node.peer, series.files)
        assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
        assert is_kept_whole(node.database, node.storage / "spool", series)
        assert {one.Modality: one.SOPInstanceUID for one in archive.objects()} == undisturbed.result_uids
        assert node.audit("series-failed") == []
        node.check_intact()


def leave_room(filler: Path, wanted: int) -> None:
    """Fill the file system of `filler` until it has about `wanted` bytes left."""
    with filler.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(filler.parent).free) > wanted:
            file.write(bytes(min(free - wanted, MIB)))
            os.fsync(file.fileno())
