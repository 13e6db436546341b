"""The cursor: what it remembers, and where a log goes on that is not the one it knows."""

import json
from pathlib import Path

import pytest

from dicom_node.atna.cursor import (
    BEGINNING,
    KEPT,
    Position,
    begin_here,
    find_position,
    read_marks,
    thinned,
    write_marks,
)
from storage.audit import record
from storage.audit_head import RowMark
from storage.database import Database, open_database
from tests.storage.stages import START
from tests.support.audit_log import entry_numbered


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return open_database(tmp_path / "node.sqlite3")


def note(db: Database, *events: str) -> None:
    for event in events:
        record(db, event, START, actor="node", detail={})


def mark(db: Database, number: int) -> RowMark:
    entry = entry_numbered(db, number)
    assert entry is not None
    return RowMark(number, entry.hash)


def test_marks_survive(tmp_path: Path) -> None:
    file = tmp_path / "atna-cursor.json"
    assert read_marks(file) == (BEGINNING,)
    marks = [RowMark(3, "a" * 64), RowMark(7, "b" * 64)]
    write_marks(file, marks)
    assert read_marks(file) == tuple(marks)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "none", "[]", "{}", '{"sent": [1]}', '{"sent": [["x", "y"]]}', '{"sent": 3}']
)
def test_a_damaged_file_is_no_reason_to_skip_rows(tmp_path: Path, text: str) -> None:
    file = tmp_path / "atna-cursor.json"
    file.write_text(text)
    assert read_marks(file) == (BEGINNING,)


def test_old_marks_grow_sparse_and_reach_far_back() -> None:
    marks: list[RowMark] = []
    for number in range(1, 10_001):
        marks = thinned([*marks, RowMark(number, "")])
        assert len(marks) <= KEPT
    numbers = [one.number for one in marks]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1
    assert numbers[-KEPT // 2 :] == list(range(10_001 - KEPT // 2, 10_001))


def test_it_goes_on_after_the_newest_mark_that_the_log_holds(db: Database) -> None:
    note(db, *["event"] * 5)
    known = [mark(db, 2), mark(db, 4)]
    assert find_position(db, known) == Position(known[1])
    changed, gone = RowMark(5, "f" * 64), RowMark(900, "f" * 64)
    assert find_position(db, [*known, changed]) == Position(known[1], lost=changed)
    assert find_position(db, [*known, gone]) == Position(known[1], lost=gone)
    assert find_position(db, [changed, gone]) == Position(BEGINNING, lost=gone)
    assert find_position(db, [BEGINNING]) == Position(BEGINNING)


def test_a_node_that_never_sent_begins_with_this_start(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "atna-cursor.json"
    assert begin_here(db, file)
    assert read_marks(file) == (BEGINNING,)
    file.unlink()
    note(db, "node-started", "node-stopped")
    begin_here(db, file)
    assert read_marks(file) == (mark(db, 2),)
    note(db, "node-started")
    assert not begin_here(db, file)
    assert read_marks(file) == (mark(db, 2),), "a later start goes on where the file says"


def test_the_file_is_readable_for_people(tmp_path: Path) -> None:
    write_marks(tmp_path / "c.json", [RowMark(3, "ab")])
    assert json.loads((tmp_path / "c.json").read_text()) == {"sent": [[3, "ab"]]}
