"""The phantoms that vary widely: the same for the same seed, with labels where the sacs are."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from training.phantom import Phantom, PhantomSettings
from training.phantom.arteries import ArterialTree, grow_arteries
from training.phantom.canvas import new_canvas
from training.phantom.dome import cover, draw_dome
from training.phantom.neck_vessels import grow_neck_vessels
from training.phantom.pose import draw_pose
from training.phantom.style import Background, draw_style
from training.phantom.template import Template
from training.phantom.traced_tree import read_traced_tree
from training.phantom.varied import _without_veins, make_varied_phantom
from training.phantom.wild_tree import grow_wild_tree

SETTINGS = PhantomSettings((56, 128, 128), (1.2, 1.6, 1.6), (3, 6))
CROSS = """# three branches that meet at (0, 0, 0)
1 2 0 0 0 2.0 -1
2 2 0 5 0 1.5 1
3 2 0 10 0 1.2 2
4 2 0 15 0 1.0 3
5 2 5 0 0 1.5 1
6 2 10 0 0 1.2 5
7 2 15 0 2 1.0 6
8 2 -5 0 0 1.5 1
9 2 -10 0 0 1.2 8
10 2 -15 0 -2 0.9 9
"""


@pytest.fixture(scope="module", params=["head", "world"])
def phantom(request: pytest.FixtureRequest) -> Phantom:
    return make_varied_phantom(4, SETTINGS, background=request.param)


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(phantom: Phantom) -> None:
    kinds: tuple[Background, ...] = ("head", "world")
    again = [make_varied_phantom(4, SETTINGS, background=kind) for kind in kinds]
    assert any(
        np.array_equal(one.hu, phantom.hu) and np.array_equal(one.labels, phantom.labels) for one in again
    )
    assert not np.array_equal(again[0].hu, again[1].hu)
    assert not np.array_equal(make_varied_phantom(5, SETTINGS, background="head").hu, again[0].hu)


def test_every_sac_is_one_piece_brighter_than_brain_and_as_listed(phantom: Phantom) -> None:
    assert len(phantom.aneurysms) >= 1 and phantom.hu.dtype == np.int16
    for planted in phantom.aneurysms:
        own = phantom.labels == planted.number
        assert ndimage.label(own, np.ones((3, 3, 3)))[1] == 1
        assert phantom.hu[own].mean() > 90
        assert own.sum() * 1.2 * 1.6 * 1.6 == pytest.approx(planted.volume_mm3, rel=1e-6)


def test_a_sac_touches_an_artery(phantom: Phantom) -> None:
    for planted in phantom.aneurysms:
        own = np.argwhere(phantom.labels == planted.number) * (1.2, 1.6, 1.6)
        arteries = phantom.arteries * (1.2, 1.6, 1.6)
        nearest = min(float(np.linalg.norm(arteries - voxel, axis=1).min()) for voxel in own)
        assert nearest < 5.5  # the calibre of the thickest parent and a voxel


def test_styles_range_widely() -> None:
    styles = [draw_style(np.random.default_rng(seed), 0.5) for seed in range(300)]
    worlds = np.mean([style.background == "world" for style in styles])
    wild = np.mean([style.tree == "wild" for style in styles])
    assert (worlds, wild) == (pytest.approx(0.3, abs=0.08), pytest.approx(0.7 * 0.3 + 0.3 * 0.75, abs=0.09))
    levels = [style.arterial_hu for style in styles]
    assert min(levels) < 220 and max(levels) > 580


def test_a_dome_has_about_the_volume_of_its_sphere_and_grows_along_its_direction() -> None:
    rng = np.random.default_rng(1)
    pose = draw_pose(rng, PhantomSettings((60, 60, 60), (0.5, 0.5, 0.5), willis_fraction=0.5))
    canvas = new_canvas(pose, 0.25)
    volumes = []
    for _ in range(30):
        dome = draw_dome(rng, np.zeros(3), 1.2, np.array([0.0, 0.0, 1.0]), radius=3.0)
        drawn = cover(canvas, dome)
        assert drawn is not None and dome.centre[2] > 1.5
        volumes.append(drawn[1].sum() * 0.125)
    assert 0.8 < np.median(volumes) / (4 / 3 * np.pi * 27) < 2.0  # blebs and neck add to it
    assert np.std(volumes) > 10


def test_a_wild_tree_obeys_its_limits() -> None:
    extent = np.array([40.0, 40.0, 30.0])
    tree = grow_wild_tree(np.random.default_rng(2), extent, 300.0)
    assert 5 <= len(tree.vessels) <= 150 and len(tree.sites) > 5
    assert all(vessel.radii.min() > 0.2 and np.isfinite(vessel.points).all() for vessel in tree.vessels)
    inside = np.concatenate([np.linalg.norm(vessel.points / extent, axis=1) for vessel in tree.vessels])
    assert np.quantile(inside, 0.9) < 1.6


def test_a_traced_tree_is_cut_at_its_forks(tmp_path: Path) -> None:
    """Across, up, back of the file are left, up, back of the head; the fork at the root is a site."""
    (tmp_path / "tree.swc").write_text(CROSS)
    tree = read_traced_tree(tmp_path / "tree.swc", np.random.default_rng(0), 300.0)
    assert [len(vessel.points) for vessel in tree.vessels] == [4, 4, 4]
    rises = [vessel.points[-1] - vessel.points[0] for vessel in tree.vessels]
    assert any(np.allclose(np.abs(rise), (0, 0, 15)) for rise in rises)
    assert any(np.allclose(np.abs(rise), (15, 2, 0)) for rise in rises)
    assert all(1.0 <= vessel.radii[0] / 2.0 <= 1.5 for vessel in tree.vessels)


@pytest.mark.parametrize("content", ["", "1 2 3\n", "a b c d e f g\n"])
def test_what_is_no_tree_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "tree.swc").write_text(content)
    with pytest.raises(ValueError, match=r"tree.swc: it"):
        read_traced_tree(tmp_path / "tree.swc", np.random.default_rng(0), 300.0)


def test_a_template_lies_where_the_head_does() -> None:
    """A bright spot 10 mm to the left, 20 back and 6 up of the circle of Willis is found there."""
    hu = np.full((40, 50, 60), -1000, np.float32)
    hu[20 + 3, 25 + 10, 30 + 5] = 1000
    template = Template(hu, (20.0, 25.0, 30.0), 2.0)
    pose = draw_pose(np.random.default_rng(0), PhantomSettings((60, 90, 90), (1.0, 1.0, 1.0), willis_fraction=0.5))
    drawn = template.at(pose)
    expected = pose.to_array_mm(np.array([[10.0, 20.0, 6.0]]))[0]
    found = np.array(np.unravel_index(int(drawn.argmax()), drawn.shape))
    assert np.linalg.norm(found - expected) < 1.8


def test_jugular_veins_are_no_arteries() -> None:
    """They are grown beside the carotids, but negative patches "around arteries" and plaques must not look there."""
    tree = grow_arteries(np.random.default_rng(2), 300.0)
    grown = grow_neck_vessels(tree.vessels)
    arteries, veins = _without_veins(ArterialTree([*tree.vessels, *grown], tree.sites))
    assert [vein.name for vein in veins] == ["jugular"] * 2
    assert len(arteries.vessels) == len(tree.vessels) + len(grown) - 2
    assert "jugular" not in {vessel.name for vessel in arteries.vessels} and arteries.sites == tree.sites
