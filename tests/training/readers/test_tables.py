"""The tables of a reader study of four readers."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.readers.made_cases import FIRST_MM, SECOND_MM, made_cases
from tests.training.tables.made_scores import counted_case
from training.readers.readings import Found, Reading
from training.readers.scores import ScoredReading, score_readings
from training.readers.tables import reader_tables
from training.readers.write_report import write_reader_report
from training.results import RunResults
from training.tables.estimates import ReportError

BOTH, ONE = (Found(FIRST_MM), Found(SECOND_MM)), (Found(FIRST_MM),)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoredReading, ...]:
    """Without assist one of two is found, with it both; r0 and r1 read "two" without, r2 and r3 with."""
    two, none = made_cases(tmp_path_factory.mktemp("labels"))
    readings = []
    for number, (seconds, gain) in enumerate(((100, 20), (120, 30), (140, 10), (160, 20))):
        level = ("resident", "attending")[number % 2]
        aided = number > 1
        for case, assist in (("two", aided), ("none", not aided)):
            findings = () if case == "none" else BOTH if assist else ONE
            time = float(seconds - gain * assist)
            readings.append(Reading(f"r{number}", level, "AB"[number // 2], case, assist, time, findings))
    return score_readings(readings, (two, none))


def test_table_4(scored: tuple[ScoredReading, ...]) -> None:
    table = reader_tables(scored)[0]
    rows = [[cell.text for cell in row] for row in table.rows]
    assert [row[0] for row in rows] == ["Attending radiologists"] * 2 + ["Resident radiologists"] * 2 + ["All"] * 3
    assert rows[4][3].startswith("130 (") and rows[5][3].startswith("110 (")  # 100 120 140 160; 80 90 130 140
    assert [cell.bold for cell in table.rows[4][3:4] + table.rows[5][3:4]] == [False, True]
    assert rows[4][6] == "50.0 (50.0–50.0)" and rows[5][6] == "100 (100–100)"  # recall: two readers either way
    assert rows[4][4] == "–" and "mask" in table.rows[4][4].note
    assert "left out" in table.rows[4][6].note  # two readers had no aneurysm without assist
    assert "two-period crossover" in table.caption and "4 readers, 2 cases, 1 of them" in table.caption


def test_effects(scored: tuple[ScoredReading, ...]) -> None:
    # Gains -20, -30 and -10, -20; period differences -20, -30 and 10, 20: means -25 and 15, half the difference -20.
    # Pooled variance 50, standard error sqrt(50) = 7.071, t = -40 / 7.071 = -5.657 with 2 d. f.; t(0.975, 2) = 4.303.
    table = reader_tables(scored)[1]
    cells = [cell.text for cell in table.rows[0]]
    assert cells == ["All", "Time", "4", "-20.0 s (-35.2 to -4.8)", "0.030", "0.333"]
    recall = next(row for row in table.rows if row[1].text == "Recall, target-wise")
    assert recall[3].text == "–" and recall[3].note  # no reader has a recall both ways


def test_table_s2(scored: tuple[ScoredReading, ...]) -> None:
    table = reader_tables(scored)[2]
    assert [(row[0].text, row[1].text, row[2].text) for row in table.rows] == [
        ("A", "without assist", "2"), ("A", "with assist", "2"), ("B", "without assist", "2"), ("B", "with assist", "2")
    ]  # fmt: skip


def test_a_paired_study_says_so(scored: tuple[ScoredReading, ...]) -> None:
    table = reader_tables(scored[:6])[1]  # one reader alone in the second group
    assert table.caption.startswith("Paired t test") and "no crossover" in table.caption


def test_the_models_row(scored: tuple[ScoredReading, ...]) -> None:
    cases = (
        counted_case("two", (200, 50, 50, 100), ((125, True), (125, False)), 0),
        counted_case("none", (0, 0, 0, 400), (), 1),
    )
    run = RunResults("GLIA-Net", "study", "1", {}, cases)
    first = reader_tables(scored, [run])[0].rows[0]
    values = [cell.text.split(" ")[0] for cell in first]
    assert values == ["GLIA-Net", "", "–", "–", "80.0", "50.0", "50.0", "0", "100", "50.0"]
    with pytest.raises(ReportError, match="other cases than were read: none"):
        reader_tables(scored, [replace(run, scores=cases[:1])])
    with pytest.raises(ReportError, match="runs of one model"):
        reader_tables(scored, [run, replace(run, model="U-Net")])


def test_report(scored: tuple[ScoredReading, ...], tmp_path: Path) -> None:
    write_reader_report(scored, tmp_path / "r.html", tmp_path / "r.md")
    html, markdown = ((tmp_path / f"r.{end}").read_text(encoding="utf-8") for end in ("html", "md"))
    assert "For research use only" in html and "For research use only" in markdown
    assert "Attending radiologists" in html and "\\-20.0" not in markdown and "-20.0 s (-35.2 to -4.8)" in markdown
    with pytest.raises(ReportError, match="no readings"):
        write_reader_report([], tmp_path / "r.html", None)
    with pytest.raises(ReportError, match="no file is named"):
        write_reader_report(scored, None, None)
