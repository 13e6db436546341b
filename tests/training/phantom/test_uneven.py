"""Vessels and surroundings that are less even than they are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from training.phantom.arteries import ArterialTree, Site
from training.phantom.uneven import (
    GREATEST_FACTOR,
    LEAST_FACTOR,
    Unevenness,
    blur,
    draw_unevenness,
    with_uneven_vessels,
)
from training.phantom.vessel import Vessel

EVEN = Unevenness(blur_mm=0.0, waver=0.0, waver_points=1.0, step=0.0, piece=1)


def _tree(count: int = 23) -> ArterialTree:
    points = np.stack([np.arange(count), np.arange(count) ** 2, np.zeros(count)], axis=1).astype(float)
    site = Site("fork", points[-1], np.array([0.0, 0.0, 1.0]), 2.0, 1.0)
    return ArterialTree([Vessel("a", points, np.full(count, 2.0), 300.0)], [site])


def test_nothing_drawn_changes_nothing() -> None:
    before, after = _tree(), with_uneven_vessels(np.random.default_rng(0), _tree(), EVEN)
    assert np.array_equal(after.vessels[0].points, before.vessels[0].points)
    assert np.array_equal(after.vessels[0].radii, before.vessels[0].radii)


def test_radii_waver_within_limits_and_the_sites_stay() -> None:
    for seed in range(20):
        tree = with_uneven_vessels(np.random.default_rng(seed), _tree(), replace(EVEN, waver=0.5, step=0.5))
        ratio = tree.vessels[0].radii / 2.0
        assert LEAST_FACTOR <= ratio.min() < ratio.max() <= GREATEST_FACTOR
        assert tree.sites[0].radius == 2.0


@pytest.mark.parametrize(("piece", "expected"), [(2, 12), (4, 7)])
def test_straight_pieces_keep_both_ends(piece: int, expected: int) -> None:
    """Of 23 points every second are 12; every fourth are 6, and the last one."""
    points = with_uneven_vessels(np.random.default_rng(0), _tree(), replace(EVEN, piece=piece)).vessels[0].points
    assert len(points) == expected
    assert np.array_equal(points[[0, -1]], _tree().vessels[0].points[[0, -1]])


def test_a_blur_has_its_width_in_mm() -> None:
    """The variance of a blurred point is the square of the width along every axis, whatever the spacing."""
    hu = np.zeros((41, 61, 61), np.float32)
    hu[20, 30, 30] = 1000
    blur(hu, (1.0, 0.5, 0.5), 2.0)
    assert hu.sum() == pytest.approx(1000, rel=1e-3)
    for axis, spacing in enumerate((1.0, 0.5, 0.5)):
        along = hu.sum(axis=tuple({0, 1, 2} - {axis}))
        places = (np.arange(len(along)) - len(along) // 2) * spacing
        assert (along * places**2).sum() / along.sum() == pytest.approx(4.0, rel=0.05)
    before = hu.copy()
    blur(hu, (1.0, 0.5, 0.5), 0.0)
    assert np.array_equal(hu, before)


def test_draws_range_widely() -> None:
    drawn = [draw_unevenness(np.random.default_rng(seed)) for seed in range(300)]
    assert np.mean([one.blur_mm > 0 for one in drawn]) == pytest.approx(0.4, abs=0.08)
    assert np.mean([one.waver > 0 for one in drawn]) == pytest.approx(0.6, abs=0.08)
    assert {one.piece for one in drawn} == {1, 2, 3, 4}
