"""The log in files that other programs read."""

import csv
import io
import json
from datetime import datetime, timedelta
from hashlib import sha256

import pytest

from storage.audit import entries, record
from storage.audit_export import entries_of_period, write_csv, write_json_lines
from storage.database import Database
from tests.storage.stages import START


def fill(db: Database) -> None:
    record(db, "node-started", START, actor="node", detail={"ae_title": "GLIANET"})
    peer = '=HYPERLINK("x")'
    record(db, "series-opened", START, series_instance_uid="1.2", actor=peer, detail={"a": 'q",\n'})


@pytest.mark.parametrize(
    ("since", "until", "numbers"),
    [
        (None, None, [1, 2, 3, 4, 5, 6, 7, 8]),
        (START + timedelta(seconds=7), None, [7, 8]),
        (None, START + timedelta(seconds=3), [1, 2]),
        (START + timedelta(seconds=3), START + timedelta(seconds=5), [3, 4]),
        (START + timedelta(seconds=9), None, []),
    ],
)
def test_rows_of_a_period(
    db: Database, since: datetime | None, until: datetime | None, numbers: list[int]
) -> None:
    for number in range(1, 9):
        record(db, "event", START + timedelta(seconds=number), actor="node", detail={})
    assert [entry.number for entry in entries_of_period(db, since, until)] == numbers


def test_json_lines_can_be_verified_by_anybody(db: Database) -> None:
    fill(db)
    stream = io.StringIO()
    write_json_lines(entries(db), stream)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    previous = "0" * 64
    for number, line in enumerate(lines, start=1):
        row = json.loads(line)
        claimed = row.pop("hash")
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        assert sha256(text.encode()).hexdigest() == claimed
        assert (row["number"], row["previous_hash"]) == (number, previous)
        previous = claimed
    assert json.loads(lines[0])["at"] == "2026-03-04T05:06:07.000089Z"


def test_csv_holds_every_column(db: Database) -> None:
    fill(db)
    stream = io.StringIO(newline="")
    write_csv(entries(db), stream)
    header, first, second = csv.reader(io.StringIO(stream.getvalue()))
    assert header[:6] == ["number", "at", "event", "series_instance_uid", "actor", "detail"]
    assert header[6:] == ["previous_hash", "hash"]
    assert first[:3] == ["1", "2026-03-04T05:06:07.000089Z", "node-started"]
    assert first[3:6] == ["", "node", '{"ae_title":"GLIANET"}']
    assert second[3:5] == ["1.2", '\'=HYPERLINK("x")'], "a spreadsheet shows it and does not run it"
    assert json.loads(second[5]) == {"a": 'q",\n'}
    assert second[6] == first[7]
