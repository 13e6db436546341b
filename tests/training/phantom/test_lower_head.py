"""Face, neck and shoulders: below the cranium alone, and with what a radiologist would look for."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from training.phantom.arteries import grow_arteries
from training.phantom.base_detail import add_base_detail
from training.phantom.lower_head import CHIN_MM, JAWS_MM, SHOULDERS_MM, LowerHead, draw_lower_head
from training.phantom.neck_vessels import grow_neck_vessels
from training.phantom.pose import Pose

SPACING_MM = 2.0
SHAPE = (130, 120, 160)
WILLIS = np.array([220.0, 120.0, 160.0])


@pytest.fixture(scope="module")
def pose() -> Pose:
    """Head axes along the array's, the circle of Willis 220 mm above the first slice."""
    return Pose(np.eye(3)[::-1].copy(), WILLIS, (SPACING_MM,) * 3, SHAPE)


def _index(x: float, y: float, z: float) -> tuple[int, int, int]:
    k, j, i = np.rint((np.array([z, y, x]) + WILLIS) / SPACING_MM).astype(int)
    return int(k), int(j), int(i)


def _drawn(pose: Pose, metal: int = 0) -> tuple[NDArray[np.float32], list[NDArray[np.float64]]]:
    hu = np.full(SHAPE, -1000, np.float32)
    return hu, draw_lower_head(np.random.default_rng(1), hu, pose, LowerHead(True, metal))


def test_neck_has_spine_canal_airway_and_muscle_and_nothing_above_the_jaw(pose: Pose) -> None:
    hu, metal = _drawn(pose)
    assert metal == []
    assert np.all(hu[_index(0, 0, -30)[0] :] == -1000)
    neck = _index(0, 0, -130)[0]
    assert hu[_index(0, 52, -130)] == pytest.approx(38)  # cord
    assert hu[_index(0, -2, -130)] == -1000  # airway
    assert 30 < np.median(hu[neck][hu[neck] > -200]) < 80  # muscle
    bodies = hu[:neck, _index(0, 34, 0)[1], _index(0, 34, 0)[2]]
    assert {80.0} < set(np.unique(bodies))  # discs between vertebrae
    assert (bodies > 300).mean() > 0.5


def test_shoulders_are_wider_than_the_neck_and_the_chin_ends_the_face(pose: Pose) -> None:
    hu, _ = _drawn(pose)
    widths = [int((hu[_index(0, 0, z)[0]] > -500).any(0).sum()) * SPACING_MM for z in (-130, SHOULDERS_MM - 40)]
    assert widths[0] == pytest.approx(2 * 58, abs=6)
    assert widths[1] > 2 * 140
    front = _index(0, -55, 0)[1]
    below, above = (hu[_index(0, 0, CHIN_MM + away)[0], front] for away in (-6, 30))
    assert (below > -500).sum() == 0 < (above > -500).sum()


def test_metal_lies_where_it_is_said_to(pose: Pose) -> None:
    hu, spots = _drawn(pose, metal=3)
    assert len(spots) == 3
    for spot in spots:
        assert spot[2] in JAWS_MM
        k, j, i = _index(*spot)
        assert hu[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2].max() > 2900
    assert (_drawn(pose)[0] > 2900).sum() == 0


def test_a_slab_around_the_circle_of_willis_is_left_as_it_is(pose: Pose) -> None:
    slab = Pose(pose.matrix, np.array([30.0, 120.0, 160.0]), pose.spacing_mm, (30, 120, 160))
    hu = np.full(slab.shape, -1000, np.float32)
    assert draw_lower_head(np.random.default_rng(0), hu, slab, LowerHead(True, 4)) == []
    assert draw_lower_head(np.random.default_rng(0), hu, pose, LowerHead(False, 4)) == []
    assert np.all(hu == -1000)


def test_neck_arteries_begin_where_those_of_the_head_end() -> None:
    tree = grow_arteries(np.random.default_rng(3), 300.0)
    grown = grow_neck_vessels(tree.vessels)
    assert sorted(vessel.name for vessel in grown) == sorted(
        2 * ["carotid", "external carotid", "jugular", "vertebral"]
    )
    ends = np.array([vessel.points[np.argmin(vessel.points[:, 2])] for vessel in tree.vessels])
    for vessel in grown:
        if vessel.name in ("carotid", "vertebral"):
            assert np.linalg.norm(ends - vessel.points[0], axis=1).min() < 1e-6
            assert vessel.points[-1, 2] < -220 and np.linalg.norm(np.diff(vessel.points, axis=0), axis=1).max() < 1.2


def test_the_skull_base_gets_clinoids_and_openings() -> None:
    """In a block of bone the openings are soft; in soft tissue the processes are bone, with two cortices."""
    pose = Pose(np.eye(3)[::-1].copy(), np.array([70.0, 60.0, 60.0]), (0.8, 0.8, 0.8), (110, 150, 150))
    soft, bone = np.full(pose.shape, 40, np.float32), np.full(pose.shape, 900, np.float32)
    add_base_detail(np.random.default_rng(5), soft, pose, 0.4)
    add_base_detail(np.random.default_rng(5), bone, pose, 0.4)
    sides = soft[:, :, :75] > 500, soft[:, :, 76:] > 500
    assert all(ndimage.label(side)[1] >= 1 and 200 < side.sum() < 6000 for side in sides)
    magnum = np.rint((np.array([-48.0, 37.0, 0.0]) + [70, 60, 60]) / 0.8).astype(int)
    assert bone[tuple(magnum)] == pytest.approx(50, abs=1)
