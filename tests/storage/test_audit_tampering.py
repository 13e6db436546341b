"""The audit log: a change from outside is found, in every column of every row."""

import json
from hashlib import sha256

import pytest

from storage.audit import entries, newest_entry, record, verify
from storage.database import Database
from storage.errors import StorageError
from tests.storage.stages import START
from tests.support.audit_log import ROWS, entry_numbered, forge, tamper


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        (["UPDATE audit SET actor = 'nobody' WHERE number = 3"], 3),
        (["UPDATE audit SET at = '2026-03-04T05:06:10.000088Z' WHERE number = 3"], 3),
        (["UPDATE audit SET event = 'x' WHERE number = 1"], 1),
        (["UPDATE audit SET series_instance_uid = NULL WHERE number = 8"], 8),
        (["UPDATE audit SET detail = '{\"count\":4}' WHERE number = 3"], 3),
        (['UPDATE audit SET detail = \'{"count":7,"count":3}\' WHERE number = 3'], 3),
        (["UPDATE audit SET detail = 'no JSON' WHERE number = 3"], 3),
        (["DELETE FROM audit WHERE number = 1"], 1),
        (["DELETE FROM audit WHERE number = 5"], 5),
        (["DELETE FROM audit WHERE number = 8"], 8),
        (["DELETE FROM audit"], 1),
        (["DELETE FROM audit WHERE number = 5", "UPDATE audit SET number = number - 1 WHERE number > 5"], 5),
        (
            [
                "UPDATE audit SET number = 100 WHERE number = 4",
                "UPDATE audit SET number = 4 WHERE number = 5",
                "UPDATE audit SET number = 5 WHERE number = 100",
            ],
            4,
        ),
        (["UPDATE audit SET number = 0 WHERE number = 4"], 0),
    ],
)
def test_a_change_from_outside_is_found(filled: Database, statements: list[str], first_bad: int) -> None:
    tamper(filled.path, *statements)
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == first_bad
    assert found.problem


def test_a_row_that_was_rewritten_with_its_hash_breaks_the_chain(filled: Database) -> None:
    row = list(entries(filled))[2]
    changed = {
        "number": 3,
        "at": "2026-03-04T05:06:10.000089Z",
        "event": row.event,
        "series_instance_uid": row.series_instance_uid,
        "actor": "nobody",
        "detail": row.detail,
        "previous_hash": row.previous_hash,
    }
    forged = sha256(json.dumps(changed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    tamper(filled.path, f"UPDATE audit SET actor = 'nobody', hash = '{forged}' WHERE number = 3")
    assert verify(filled).first_bad == 4


COLUMNS = ("at", "event", "series_instance_uid", "actor", "detail", "previous_hash", "hash")


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("number", [1, 4, ROWS])
def test_each_column_of_each_place_is_guarded(filled: Database, column: str, number: int) -> None:
    """One character more, or none where there was one."""
    other = f"substr({column}, 2) || 'f'" if column.endswith("hash") else f"{column} || ' '"
    tamper(filled.path, f"UPDATE audit SET {column} = {other} WHERE number = {number}")
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 3), (1, ROWS), (ROWS - 1, ROWS)])
def test_swapped_rows_are_found(filled: Database, one: int, other: int) -> None:
    tamper(
        filled.path,
        f"UPDATE audit SET number = 100 WHERE number = {one}",
        f"UPDATE audit SET number = {one} WHERE number = {other}",
        f"UPDATE audit SET number = {other} WHERE number = 100",
    )
    assert verify(filled).first_bad == one


@pytest.mark.parametrize("number", [1, 4, ROWS])
def test_a_removed_row_is_found_and_stays_so(filled: Database, number: int) -> None:
    """Also when the node goes on: rows that are written afterwards do not close the gap."""
    tamper(filled.path, f"DELETE FROM audit WHERE number = {number}")
    assert verify(filled).first_bad == number
    for _ in range(3):
        record(filled, "node-started", START, actor="node", detail={})
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


def test_rows_written_after_a_truncation_say_so(filled: Database) -> None:
    tamper(filled.path, "DELETE FROM audit WHERE number > 5")
    record(filled, "node-started", START, actor="node", detail={"port": 1})
    assert entry_numbered(filled, 6).detail == {"port": 1, "log_truncated_from": ROWS}  # type: ignore[union-attr]
    for number in range(5):
        record(filled, "event", START, actor="node", detail={"count": number})
    assert "log_truncated_from" not in newest_entry(filled).detail  # type: ignore[union-attr]
    found = verify(filled)
    assert (found.ok, found.first_bad) == (False, 6)
    assert found.problem == f"rows 6 to {ROWS} were removed before this row 6 was written"


@pytest.mark.parametrize("number", [1, 4, ROWS + 1])
def test_an_inserted_row_is_found(filled: Database, number: int) -> None:
    """A copy of another row, and the rows behind it moved up."""
    up = f"UPDATE audit SET number = number + 1000 WHERE number >= {number}"
    down = f"UPDATE audit SET number = number - 999 WHERE number >= {1000 + number}"
    copied = f"""INSERT INTO audit SELECT {number}, at, event, series_instance_uid, actor, detail, previous_hash,
        '{"e" * 64}' FROM audit WHERE number = {2 if number == 1 else 1}"""
    tamper(filled.path, up, down, copied)
    found = verify(filled)
    assert not found.ok
    assert found.first_bad == number


def test_a_chain_that_was_rebuilt_whole_verifies(filled: Database) -> None:
    """What hashes cannot find: whoever may write the database computes them anew. The signed head finds it."""
    rows = list(entries(filled))
    forge(filled.path, lambda row: {"actor": "nobody"} if row.number == 3 else {}, rows)
    assert verify(filled).ok
    assert entry_numbered(filled, 3).actor == "nobody"  # type: ignore[union-attr]


@pytest.mark.parametrize("change", ["at = 'yesterday'", "detail = 'no JSON'"])
def test_a_row_that_cannot_be_read_is_named(filled: Database, change: str) -> None:
    tamper(filled.path, f"UPDATE audit SET {change} WHERE number = 3")
    with pytest.raises(StorageError, match="audit row 3: this row was changed"):
        list(entries(filled))
