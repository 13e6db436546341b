"""Planted sacs: sizes as published, the parent vessel left out of the label."""

import numpy as np
import pytest

from training.phantom.arteries import ArterialTree, Site
from training.phantom.canvas import Canvas, draw_tube, new_canvas
from training.phantom.pose import Pose
from training.phantom.sacs import plant_sacs

SPACING = (0.6, 0.45, 0.45)


def _scene() -> tuple[Canvas, ArterialTree, np.ndarray]:
    """A vessel of 1.5 mm radius along z, at whose middle a sac may point along x; brain around it."""
    pose = Pose(np.eye(3)[::-1].copy(), np.array([24.0, 24.0, 24.0]), SPACING, (80, 107, 107))
    canvas = new_canvas(pose, 0.4)
    draw_tube(canvas, np.array([[0.0, 0, -30], [0, 0, 30]]), np.full(2, 1.5), np.full(2, 320.0))
    site = Site("side wall", np.zeros(3), np.array([1.0, 0, 0]), 1.5, 1.0)
    return canvas, ArterialTree(sites=[site]), np.full(pose.shape, 30.0, np.float32)


def _volumes(count: int) -> list[float]:
    volumes = []
    for seed in range(count):
        canvas, tree, tissue = _scene()
        labels = plant_sacs(np.random.default_rng(seed), canvas, tree, tissue, 1)
        volumes.append(float((labels == 1).sum() * np.prod(SPACING)))
    return volumes


def test_volumes_are_those_of_real_aneurysms() -> None:
    volumes = _volumes(60)
    assert 35 < np.median(volumes) < 110  # published median 61 mm3
    assert 4 < np.percentile(volumes, 5) < 25 and 250 < np.percentile(volumes, 95) < 850


def test_the_label_is_the_sac_without_its_vessel() -> None:
    canvas, tree, tissue = _scene()
    vessel = canvas.coverage.copy()
    labels = plant_sacs(np.random.default_rng(1), canvas, tree, tissue, 1)
    assert labels.any() and not (vessel[labels == 1] > 0.5).any()
    where = np.argwhere(labels == 1) * SPACING - 24.0
    assert where[:, 2].mean() > 1.5  # towards +x, where the site points
    assert canvas.hu[labels == 1] == pytest.approx(320.0)


def test_no_sac_in_bone_and_no_two_in_one_place() -> None:
    canvas, tree, tissue = _scene()
    assert not plant_sacs(np.random.default_rng(2), canvas, tree, tissue + 1000, 1).any()
    canvas, tree, tissue = _scene()
    assert plant_sacs(np.random.default_rng(2), canvas, tree, tissue, 5).max() == 1
