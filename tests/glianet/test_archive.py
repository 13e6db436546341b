"""Archives of a document and arrays: read back as they were, the same bytes for the same content."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from glianet.archive import UNREADABLE, archive_bytes, read_archive

DOCUMENT = {"format": "made-1", "numbers": [1, 2]}
ARRAYS = {"first": np.arange(6, dtype=np.uint8).reshape(2, 3)[:, ::-1], "second": np.array([0.5], np.float32)}


def test_content_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "made.npz"
    path.write_bytes(archive_bytes("made", DOCUMENT, ARRAYS))
    document, (second, first) = read_archive(path, "made", "second", "first")
    assert document == DOCUMENT
    assert first.dtype == np.uint8 and first.tolist() == [[2, 1, 0], [5, 4, 3]]
    assert second.dtype == np.float32 and second.tolist() == [0.5]


def test_numpy_and_zipfile_read_it_alone() -> None:
    """Another reader: numpy takes the .npy members of such a file."""
    content = io.BytesIO(archive_bytes("made", DOCUMENT, ARRAYS))
    with zipfile.ZipFile(content) as archive:
        assert json.loads(archive.read("made.json")) == DOCUMENT
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    np.testing.assert_array_equal(np.load(content)["first"], ARRAYS["first"])


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Whatever byte is damaged, reading gives what was written or one of the errors that callers expect."""
    path = tmp_path / "made.npz"
    whole = archive_bytes("made", DOCUMENT, ARRAYS)
    failures = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            document, (first,) = read_archive(path, "made", "first")
        except UNREADABLE:
            failures += 1
            continue
        assert document == DOCUMENT
        np.testing.assert_array_equal(first, ARRAYS["first"])
    assert failures > len(whole) / 4


@pytest.mark.parametrize(("name", "key"), [("other", "first"), ("made", "third")])
def test_what_is_not_there_is_an_error(tmp_path: Path, name: str, key: str) -> None:
    path = tmp_path / "made.npz"
    path.write_bytes(archive_bytes("made", DOCUMENT, ARRAYS))
    with pytest.raises(UNREADABLE, match="no item named"):
        read_archive(path, name, key)
