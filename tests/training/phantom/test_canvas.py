"""Tubes and ellipsoids against the volumes of cylinders and ellipsoids."""

import numpy as np
import pytest

from training.phantom.canvas import Canvas, draw_tube, ellipsoid, new_canvas, paint
from training.phantom.pose import Pose

SPACING = (0.6, 0.45, 0.45)
SHAPE = (50, 80, 80)


@pytest.fixture
def canvas() -> Canvas:
    matrix = np.eye(3)[::-1].copy()
    return new_canvas(Pose(matrix, np.array([15.0, 18.0, 18.0]), SPACING, SHAPE), softness_mm=0.4)


def test_cross_section_of_a_tube(canvas: Canvas) -> None:
    draw_tube(canvas, np.array([[0.0, 0, -30], [0, 0, 30]]), np.full(2, 2.0), np.full(2, 300.0))
    area = canvas.coverage[25].sum() * 0.45 * 0.45
    assert area == pytest.approx(np.pi * 2.0**2, rel=0.04)
    assert np.unique(canvas.hu[canvas.coverage > 0]).tolist() == [300.0]


def test_a_tube_tapers(canvas: Canvas) -> None:
    draw_tube(canvas, np.array([[0.0, 0, -15], [0, 0, 15]]), np.array([1.0, 3.0]), np.full(2, 300.0))
    areas = (canvas.coverage > 0.5).sum(axis=(1, 2)) * 0.45 * 0.45
    assert areas[45] > 2 * areas[5] > 0


def test_thin_vessels_are_fainter(canvas: Canvas) -> None:
    draw_tube(canvas, np.array([[0.0, 0, -30], [0, 0, 30]]), np.full(2, 0.4), np.full(2, 300.0))
    assert 0.2 < canvas.coverage.max() < 0.7


def test_volume_of_an_ellipsoid(canvas: Canvas) -> None:
    drawn = ellipsoid(canvas, np.array([0.5, -1.0, 2.0]), np.array([3.0, 4.0, 5.0]), np.eye(3))
    assert drawn is not None
    volume = drawn[1].sum() * np.prod(SPACING)
    assert volume == pytest.approx(4 / 3 * np.pi * 3 * 4 * 5, rel=0.05)


def test_outside_the_grid_nothing_is_drawn(canvas: Canvas) -> None:
    assert ellipsoid(canvas, np.array([200.0, 0, 0]), np.full(3, 3.0), np.eye(3)) is None
    draw_tube(canvas, np.array([[200.0, 0, 0], [210, 0, 0]]), np.full(2, 2.0), np.full(2, 300.0))
    assert not canvas.coverage.any()


def test_what_covers_more_wins(canvas: Canvas) -> None:
    box = (slice(0, 1), slice(0, 1), slice(0, 3))
    paint(canvas, box, np.array([[[0.5, 0.9, 0.2]]], np.float32), 300.0)
    paint(canvas, box, np.array([[[0.6, 0.3, 0.2]]], np.float32), 200.0)
    assert canvas.coverage[box].ravel() == pytest.approx([0.6, 0.9, 0.2])
    assert canvas.hu[box].ravel().tolist() == [200.0, 300.0, 300.0]
