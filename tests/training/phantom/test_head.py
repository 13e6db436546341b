"""Pose, noise and the tissues of the head."""

import numpy as np
import pytest

from training.phantom.head import draw_head
from training.phantom.model import PhantomSettings
from training.phantom.noise import scanner_noise, smooth_field
from training.phantom.pose import HEAD_CENTRE_MM, draw_pose

SETTINGS = PhantomSettings((40, 128, 128), (2.0, 1.8, 1.8), (0, 0), willis_fraction=0.5)


def test_pose_keeps_the_circle_of_willis_where_it_was_asked_for() -> None:
    pose = draw_pose(np.random.default_rng(1), SETTINGS)
    willis = pose.to_array_mm(np.zeros((1, 3)))[0]
    assert willis[0] == pytest.approx(40.0)
    head = pose.to_array_mm(np.array([HEAD_CENTRE_MM]))[0]
    assert head[1:] == pytest.approx([64 * 1.8] * 2, abs=6.001)


def test_slices_and_points_agree() -> None:
    pose = draw_pose(np.random.default_rng(2), SETTINGS)
    x, y, z = pose.head_slice(7)
    back = pose.to_array_mm(np.array([[x[30, 50], y[30, 50], z[30, 50]]], float))[0]
    assert back == pytest.approx([7 * 2.0, 30 * 1.8, 50 * 1.8], abs=1e-3)


def test_tissues_of_the_head() -> None:
    rng = np.random.default_rng(3)
    pose = draw_pose(rng, SETTINGS)
    hu = draw_head(rng, pose, 0.6)
    centre = np.rint(pose.to_array_mm(np.array([[25.0, 40.0, 25.0]]))[0] / pose.spacing_mm).astype(int)
    assert 25 < hu[tuple(centre)] < 45  # brain
    assert hu[:, 0, 0].max() == -1000  # air
    row = hu[centre[0] + 5, centre[1]]
    assert (row[:64] > 300).sum() >= 2 and (row[64:] > 300).sum() >= 2  # the skull on both sides
    assert hu.min() >= -1000 and hu.max() < 2000


def test_noise_has_the_deviation_asked_for_and_neighbours_agree() -> None:
    noise = scanner_noise(np.random.default_rng(4), (30, 80, 80), 12.0)
    assert noise.std() == pytest.approx(12.0, rel=0.03)
    together = np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1]
    assert together == pytest.approx(0.6 / 1.36, abs=0.03)  # white noise plus 0.6 of its neighbour


def test_smooth_fields_are_smooth() -> None:
    field = smooth_field(np.random.default_rng(5), (20, 60, 60), (1.0, 1.0, 1.0), 20.0)
    assert field.shape == (20, 60, 60) and field.dtype == np.float32
    assert np.abs(np.diff(field, axis=2)).max() < 0.5
