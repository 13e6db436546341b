"""Courses, branches and the circle of Willis."""

import numpy as np
import pytest

from training.phantom.arteries import KNOWN_SITES, grow_arteries
from training.phantom.branching import THINNEST_MM, grow_branches
from training.phantom.veins import grow_veins
from training.phantom.vessel import Vessel, perpendicular, smooth_vessel, with_loop


def test_a_vessel_begins_and_ends_where_it_should() -> None:
    control = np.array([[0.0, 0, 0], [10, 3, 0], [20, 0, 5]])
    vessel = smooth_vessel(np.random.default_rng(1), "M1", control, (1.5, 1.0), 300.0, 0.8)
    assert vessel.points[0] == pytest.approx(control[0], abs=1e-6) and vessel.points[-1] == pytest.approx(
        control[-1], abs=1e-6
    )
    steps = np.linalg.norm(np.diff(vessel.points, axis=0), axis=1)
    assert steps.min() > 0.3 and steps.max() < 2.5
    assert vessel.radii.max() < 1.5 * 1.07 and vessel.radii.min() > 1.0 * 0.93


def test_a_loop_lengthens_the_course() -> None:
    points = np.stack([np.arange(30.0), np.zeros(30), np.zeros(30)], axis=1)
    straight = Vessel("P2", points, np.full(30, 1.0), 300.0)
    looped = with_loop(np.random.default_rng(2), straight)
    length = np.linalg.norm(np.diff(looped.points, axis=0), axis=1).sum()
    assert length > 29 + 2 * np.pi * 2.4 * 0.9  # the loop's radius is at least 1.4 mm + the vessel's 1.0 mm
    assert len(looped.points) == len(looped.radii)
    assert looped.points[0] == pytest.approx(points[0])


def test_perpendicular_is_a_unit_vector_at_right_angles() -> None:
    direction = np.array([0.6, 0.0, 0.8])
    side = perpendicular(np.random.default_rng(3), direction)
    assert side @ direction == pytest.approx(0, abs=1e-12) and np.linalg.norm(side) == pytest.approx(1)


def test_forks_share_the_flow_by_murrays_law() -> None:
    trunk = Vessel(
        "A2", np.stack([np.zeros(30), np.zeros(30), np.arange(30.0)], axis=1), np.full(30, 1.0), 300.0
    )
    branches, forks = grow_branches(np.random.default_rng(4), trunk)
    children = [b for b in branches if np.allclose(b.points[0], trunk.points[-1])]
    mother = next(radius for point, _, radius in forks if np.allclose(point, trunk.points[-1]))
    assert len(children) == 2
    # r^3 = r1^3 + r2^3; the calibre of each child wavers by up to 6 % at its beginning
    assert sum(child.radii[0] ** 3 for child in children) == pytest.approx(mother**3, rel=0.2)
    assert min(b.radii.min() for b in branches) > THINNEST_MM * 0.85 * 0.93


def test_the_circle_of_willis_has_its_sites_on_vessels() -> None:
    tree = grow_arteries(np.random.default_rng(5), 350.0)
    names = {vessel.name for vessel in tree.vessels}
    assert {"ICA", "M1", "A1", "A2", "P1", "P2", "basilar", "M2 superior branch"} <= names
    cloud = np.concatenate([vessel.points for vessel in tree.vessels])
    for site in tree.sites:
        assert np.linalg.norm(cloud - site.point, axis=1).min() < 1e-9
        assert np.linalg.norm(site.direction) == pytest.approx(1)
    assert len({site.name for site in tree.sites} & {known[0] for known in KNOWN_SITES}) >= 8


def test_left_and_right_are_on_their_sides() -> None:
    tree = grow_arteries(np.random.default_rng(6), 350.0)
    ends = sorted(vessel.points[-1][0] for vessel in tree.vessels if vessel.name == "M1")
    assert ends[0] < -20 and ends[1] > 20


def test_veins_hold_the_sagittal_sinus_in_the_midline() -> None:
    veins = grow_veins(np.random.default_rng(7), 200.0)
    sinus = next(vein for vein in veins if vein.name == "sagittal sinus")
    assert np.abs(sinus.points[:, 0]).max() < 3 and sinus.hu == 200.0
