"""Sums over cases, by hand."""

import io

import numpy as np
import pytest
from rich.console import Console

from glianet.findings import Findings
from training.evaluate import Detection, Evaluation
from training.phantom import PlantedAneurysm
from training.report import summarise, summary_table

NO_FINDINGS = Findings(
    np.zeros((1, 1, 1), np.uint16), np.eye(4), (), 0.5, 5.0, 11, 48, False, "", "", "", 0, 0
)


def _case(seed: int, dice: list[float], false_positives: int) -> Evaluation:
    detections = tuple(
        Detection(PlantedAneurysm(n, (0.0, 0.0, 0.0), 4.0 + n, 50.0), (n,) if value else (), value)
        for n, value in enumerate(dice, start=1)
    )
    return Evaluation(seed, detections, tuple(range(90, 90 + false_positives)), NO_FINDINGS)


def test_summary() -> None:
    summary = summarise([_case(1, [0.8, 0.0], 1), _case(2, [0.6], 2)])
    assert (summary.planted, summary.found) == (3, 2)
    assert summary.recall == pytest.approx(2 / 3)
    assert summary.false_positives_per_case == pytest.approx(1.5)
    assert summary.mean_dice_of_found == pytest.approx(0.7)
    assert [row.found for row in summary.cases] == [1, 1]


def test_cases_without_aneurysms_have_no_recall() -> None:
    summary = summarise([_case(1, [], 0)])
    assert summary.recall is None and summary.mean_dice_of_found is None


def test_table_shows_each_case_and_the_sum() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(summary_table(summarise([_case(900001, [0.8, 0.0], 1)])))
    text = console.export_text()
    assert "900001" in text and "5.0 6.0" in text and "0.80 0.00" in text and "1.00 a case" in text
