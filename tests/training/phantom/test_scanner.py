"""What the scanner does to the object, on objects simple enough to know the answer."""

import numpy as np
import pytest

from training.phantom.scanner import add_metal_streaks, move

SPACING_MM = (1.0, 0.5, 0.5)


def test_a_head_that_moved_is_in_two_places_at_once_in_some_slices_alone() -> None:
    hu = np.zeros((60, 40, 40), np.float32)
    hu[:, 20, 20] = 1000
    still = hu.copy()
    move(np.random.default_rng(0), hu, SPACING_MM, 0.0)
    assert np.array_equal(hu, still)
    move(np.random.default_rng(0), hu, SPACING_MM, 4.0)
    moved = (hu != still).any((1, 2))
    assert 4 <= moved.sum() <= 31 and np.ptp(np.flatnonzero(moved)) == moved.sum() - 1
    plane = hu[np.flatnonzero(moved)[0]]
    assert plane[20, 20] == pytest.approx(500) and plane.sum() == pytest.approx(1000, rel=1e-4)
    places = np.argwhere(plane > 1) * 0.5
    away = np.linalg.norm(places - [10, 10], axis=1).max()
    assert away == pytest.approx(4.0, abs=0.71)  # the ghost, spread over its four neighbours


def test_metal_streaks_are_rays_that_fade_with_distance_in_the_plane_and_along_the_slices() -> None:
    hu = np.zeros((40, 200, 200), np.float32)
    add_metal_streaks(np.random.default_rng(1), hu, SPACING_MM, [np.array([20.0, 50.0, 50.0])])
    assert np.all(hu[:12] == 0) and np.all(hu[29:] == 0)
    rows, columns = np.mgrid[:200, :200] * 0.5 - 50.0
    radius = np.hypot(rows, columns)
    rings = [float(hu[20][(radius > r) & (radius < r + 3)].std()) for r in (5, 20, 45)]
    assert rings[0] > 1.7 * rings[1] > 2.2 * rings[2] > 0
    assert hu[20].std() == pytest.approx(hu[24].std() * np.e, rel=1e-4)  # 4 mm away: e^-1
    assert hu[20, 140, 100] * hu[20, 180, 100] > 0  # along a ray the sign stays
    assert abs(float(hu[20][(radius > 18) & (radius < 22)].mean())) < 8  # dark ones and bright ones alike
