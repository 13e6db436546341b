"""What was wrong is named, measured and drawn where it is."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glianet.load_model import load_model
from glianet.model import ComputeSettings
from glianet.weights_file import DEFAULT_WEIGHTS
from training.evaluate_cases import EvaluationCase
from training.figures.draw_cases import draw_cases
from training.figures.failure_panels import draw_failures, find_failures
from training.metrics.targets import Detection

SPACING_MM = (2.0, 1.0, 1.0)
SHAPE = (40, 60, 60)


def _ball(centre: tuple[int, int, int], radius_mm: float) -> NDArray[np.bool_]:
    away = (np.indices(SHAPE).T - centre) * SPACING_MM
    inside: NDArray[np.bool_] = (np.linalg.norm(away, axis=-1) < radius_mm).T
    return inside


def test_a_missed_target_and_a_false_finding_are_told_apart_and_measured() -> None:
    seen, missed, false = _ball((10, 15, 15), 5), _ball((25, 40, 20), 4), _ball((30, 20, 45), 3)
    failures = find_failures("case", np.zeros(SHAPE, np.int16), SPACING_MM, seen | missed, (seen | false) * 0.9)
    assert [failure.missed for failure in failures] == [True, False]
    assert [failure.panel.centre for failure in failures] == [(25, 40, 20), (30, 20, 45)]
    volume = missed.sum() * 2.0
    assert failures[0].diameter_mm == pytest.approx((6 * volume / np.pi) ** (1 / 3))
    assert failures[0].panel.name == f"case\nmissed, {failures[0].diameter_mm:.1f} mm"
    assert find_failures("case", np.zeros(SHAPE, np.int16), SPACING_MM, seen, seen * 0.9) == []


def test_what_the_node_does_not_show_is_no_false_finding() -> None:
    seen, false = _ball((10, 15, 15), 5), _ball((30, 20, 45), 3)
    arguments = ("case", np.zeros(SHAPE, np.int16), SPACING_MM, seen, seen * 0.9 + false * 0.6)
    (failure,) = find_failures(*arguments)
    assert not failure.missed
    assert find_failures(*arguments, Detection(0.8, 11)) == []


def test_nothing_is_drawn_where_nothing_was_wrong(tmp_path: Path) -> None:
    assert not draw_failures(tmp_path / "failures.png", [])
    assert not (tmp_path / "failures.png").exists()


def test_weights_that_miss_an_aneurysm_get_a_picture_of_it(tmp_path: Path) -> None:
    """A ball in air and water is none that the network knows."""
    ball = np.pad(_ball((20, 30, 30), 6), ((30, 26), (18, 18), (18, 18)))
    hu = np.where(ball, 60, 0).astype(np.int16)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])[[2, 1, 0, 3]]
    case = EvaluationCase("ball", "made", hu, ball, affine)
    told: list[tuple[str, int]] = []
    model = load_model([DEFAULT_WEIGHTS], ComputeSettings("cpu")).model
    written = draw_cases(iter([case]), model, tmp_path / "out", lambda name, n: told.append((name, n)))
    assert [path.name for path in written] == ["segmentation.png", "risk.png", "failures.png"]
    assert all(path.stat().st_size > 10_000 for path in written) and told == [("ball", 1)]
