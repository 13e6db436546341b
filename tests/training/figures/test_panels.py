"""The figures 5 and 6 of a made head, by what is seen where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.training.figures.made_cases import CENTRE, panel_case, risk_case
from training.figures.risk_panels import draw_risk_panels
from training.figures.segmentation_panels import _middle, draw_segmentation_panels


def _pixels(picture: np.ndarray, red: float, green: float, blue: float) -> int:
    return int((np.abs(picture[..., :3] - (red, green, blue)) < 0.08).all(axis=-1).sum())


def test_outlines_of_truth_and_models_are_seen(tmp_path: Path) -> None:
    draw_segmentation_panels(tmp_path / "a" / "five.png", [panel_case("A")])
    picture = imread(tmp_path / "a" / "five.png")
    assert _pixels(picture, 0.0, 0.82, 0.42) > 50 and _pixels(picture, 1.0, 0.69, 0.0) > 50
    bare = replace(panel_case("A"), predictions={})
    draw_segmentation_panels(tmp_path / "bare.png", [bare])
    assert _pixels(imread(tmp_path / "bare.png"), 1.0, 0.69, 0.0) == 0


def test_planes_go_through_the_largest_target() -> None:
    truth = panel_case("A").truth.copy()
    assert _middle(truth) == CENTRE
    truth[50:52, 100:102, 10:12] = True
    assert _middle(truth) == CENTRE
    assert _middle(np.zeros((10, 20, 30), bool)) == (5, 10, 15)


def test_risk_figure(tmp_path: Path) -> None:
    draw_risk_panels(tmp_path / "six.png", [risk_case("A")])
    picture = imread(tmp_path / "six.png")
    assert _pixels(picture, 0.0, 0.447, 0.698) > 1000  # the histograms' bars
    reddest = picture[..., 0] - picture[..., 2] > 0.3
    assert reddest.sum() > 500


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    panel, risk = panel_case("A"), risk_case("B")
    with pytest.raises(ValueError, match="A: U-Net has shape"):
        draw_segmentation_panels(tmp_path / "x.png", [replace(panel, predictions={"U-Net": panel.truth[1:]})])
    with pytest.raises(ValueError, match="B: risks are not all numbers from 0 to 1"):
        draw_risk_panels(tmp_path / "x.png", [replace(risk, risk=np.full_like(risk.risk, np.nan))])
    with pytest.raises(ValueError, match="B: truth has another shape"):
        draw_risk_panels(tmp_path / "x.png", [replace(risk, truth=risk.truth[1:])])
    assert not list(tmp_path.iterdir())
