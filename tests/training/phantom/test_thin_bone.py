"""Thin bones: where they belong, never outside the skin, nothing made darker."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.phantom.pose import Pose
from training.phantom.thin_bone import add_thin_bone

SHAPE, SPACING_MM = (90, 110, 100), 1.5
ORIGIN = np.array([105.0, 110.0, 75.0])
RADIUS_MM = 70.0


@pytest.fixture(scope="module")
def drawn() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A cylinder of soft tissue around the middle of the head, its HU before and after, and what is air."""
    pose = Pose(np.eye(3)[::-1].copy(), ORIGIN, (SPACING_MM,) * 3, SHAPE)
    x, y, _ = pose.head_slice(0)
    air = np.broadcast_to(x**2 + (y + 35) ** 2 > RADIUS_MM**2, SHAPE)
    before = np.where(air, np.float32(-1000), np.float32(50))
    after = before.copy()
    add_thin_bone(np.random.default_rng(5), after, pose, 0.6)
    return before, after, air


def _around(hu: NDArray[np.float32], x: float, y: float, z: float, reach_mm: float = 6.0) -> NDArray[np.float32]:
    middle = (np.array([z, y, x]) + ORIGIN) / SPACING_MM
    reach = reach_mm / SPACING_MM
    return hu[tuple(slice(int(m - reach), int(m + reach) + 1) for m in middle)]


def test_both_arches_the_septum_and_the_styloid_processes_are_bone(drawn) -> None:  # type: ignore[no-untyped-def]
    _, after, _ = drawn
    for side in (1, -1):
        assert _around(after, side * 58, -36, -20).max() > 250  # zygomatic arch
        assert _around(after, side * 32, 10, -50).max() > 120  # styloid process, 1.3 mm thick
    septum = _around(after, 0, -52, -30, 3.0)
    assert septum.max() > 60


def test_nothing_is_darker_and_nothing_lies_outside_the_skin(drawn) -> None:  # type: ignore[no-untyped-def]
    before, after, air = drawn
    assert np.all(after >= before)
    assert np.array_equal(after[air], before[air])
    assert 500 < (after > before).sum() < 0.1 * (~air).sum()
