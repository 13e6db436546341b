"""A node without its database is told from a new one."""

from pathlib import Path

import pytest

from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.lost_database import refuse_lost_database


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_a_new_folder_and_a_first_start_that_was_interrupted_pass(folders: Folders) -> None:
    refuse_lost_database(folders)
    folders.spool.mkdir()
    folders.database.touch()
    refuse_lost_database(folders)


@pytest.mark.parametrize("kind", ["spool", "findings", "results"])
@pytest.mark.parametrize("empty", [True, False])
def test_files_without_a_database_do_not_pass(folders: Folders, kind: str, empty: bool) -> None:
    file = folders.root / kind / "00" / "file"
    file.parent.mkdir(parents=True)
    file.touch()
    if empty:
        folders.database.touch()
    with pytest.raises(NodeError, match="is empty" if empty else "is not there") as caught:
        refuse_lost_database(folders)
    assert "doctor --repair" in caught.value.advice
    folders.database.write_bytes(b"something")
    refuse_lost_database(folders)
