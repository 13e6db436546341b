import csv
import json
from pathlib import Path

import pytest

from storage.audit import record
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries


def test_rows_are_whole(site: Site, failed: HeadSeries) -> None:
    lines = site.run("audit", "show", failed.uid).stdout.splitlines()
    assert lines[0] == "     1  2026-01-15 10:00:00 UTC  series-opened, by CT1"
    assert lines[1] == f"        series {failed.uid}"
    assert f"study_instance_uid: {failed.study_uid}" in lines[2]
    assert any("detail: no memory [cuda]" in line for line in lines)


def test_a_peer_writes_no_control_characters(site: Site) -> None:
    clock = site.pipeline.clock
    record(site.pipeline.db, "association-rejected", clock(), actor="CT\x1b[2J", detail={"of": ["a\nb", "c"]})
    shown = site.run("audit", "list").stdout
    assert 'by "CT\\u001b[2J"' in shown
    assert 'of: "a\\nb" | c' in shown
    assert "\x1b" not in shown


def test_mappings_are_printed_with_their_keys_and_lists_of_them_in_short(site: Site) -> None:
    detail = {
        "destinations": {"pacs": ["seg", "sr"], "research": ["sr", "sc"], "nobody": []},
        "left_out": {"pdf": "no memory"},
        "results": [{"role": "seg", "sop_instance_uid": "1.2"}, {"role": "sr", "sop_instance_uid": "1.3"}],
        "unserved": {},
    }
    record(site.pipeline.db, "results-published", site.pipeline.clock(), actor="node", detail=detail)
    assert site.run("audit", "list").stdout.splitlines()[-1].strip() == (
        "destinations: nobody (none), pacs (seg | sr), research (sr | sc); left_out: pdf (no memory); "
        "results: seg 1.2 | sr 1.3; unserved: none"
    )


def test_the_newest_rows_oldest_first(site: Site, failed: HeadSeries) -> None:
    numbers = [entry.number for entry in site.pipeline.audit("series-failed")]
    shown = [
        json.loads(line) for line in site.run("audit", "list", "--limit", "2", "--json").stdout.splitlines()
    ]
    assert [row["number"] for row in shown] == [numbers[-1] - 1, numbers[-1]]
    assert site.run("audit", "list", "--limit", "-1").exit_code == 2


def test_verify_gives_the_hash_to_keep(site: Site, received: HeadSeries) -> None:
    result = site.run("audit", "verify")
    assert result.exit_code == 0
    assert site.pipeline.audit("series-opened")[-1].hash in result.stdout


def test_verify_of_a_changed_row(site: Site, failed: HeadSeries) -> None:
    with site.pipeline.db.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_refuses_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE number = 2")
    result = site.run("audit", "verify")
    assert result.exit_code == 1
    assert "BROKEN at row 2" in result.stdout


def test_export_of_a_period(site: Site, failed: HeadSeries, tmp_path: Path) -> None:
    output = tmp_path / "audit.csv"
    assert site.run("audit", "export", str(output), "--since", "2026-01-15T10:00:10").exit_code == 0
    with output.open(newline="") as file:
        events = [row["event"] for row in csv.DictReader(file)]
    assert events == ["series-complete", "series-accepted", "series-failed"]


@pytest.mark.parametrize(
    ("name", "option", "complaint"),
    [
        ("a.txt", (), "name a .jsonl or .csv file"),
        ("nowhere/a.csv", (), "cannot be written (No such file or directory)"),
        ("a.csv", ("--since", "yesterday"), "--since: 'yesterday' is no date or time"),
    ],
)
def test_an_export_that_cannot_be(
    site: Site, tmp_path: Path, name: str, option: tuple[str, ...], complaint: str
) -> None:
    result = site.run("audit", "export", str(tmp_path / name), *option)
    assert result.exit_code == 1
    assert complaint in result.stderr


def test_an_unknown_series(site: Site) -> None:
    result = site.run("audit", "show", "1.2.3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no audit row names series 1.2.3" in result.stderr
