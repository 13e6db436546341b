"""Whole phantoms: the same from the same seed, geometry, HU and labels."""

import numpy as np
import pytest
from scipy import ndimage

from training.phantom import Phantom, PhantomSettings, make_phantom

SETTINGS = PhantomSettings((64, 176, 176), (1.0, 1.25, 1.25), (4, 4))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(11, SETTINGS)


def test_same_seed_same_voxels(phantom: Phantom) -> None:
    again = make_phantom(11, SETTINGS)
    assert np.array_equal(phantom.hu, again.hu)
    assert np.array_equal(phantom.labels, again.labels)
    assert phantom.aneurysms == again.aneurysms
    assert np.array_equal(phantom.affine, again.affine)


def test_another_seed_another_head(phantom: Phantom) -> None:
    assert (make_phantom(12, SETTINGS).hu != phantom.hu).mean() > 0.5


def test_axes_run_to_head_back_and_left(phantom: Phantom) -> None:
    origin = phantom.affine[:3, 3]
    for axis, expected in enumerate([(0, 0, 1.0), (0, 1.25, 0), (1.25, 0, 0)]):
        step = phantom.affine @ [*(int(n == axis) for n in range(3)), 1]
        assert (step[:3] - origin).tolist() == pytest.approx(expected)
    assert phantom.spacing_mm == pytest.approx((1.0, 1.25, 1.25))


def test_truth_is_what_the_labels_hold(phantom: Phantom) -> None:
    numbers = [aneurysm.number for aneurysm in phantom.aneurysms]
    assert numbers == list(range(1, int(phantom.labels.max()) + 1))
    for aneurysm in phantom.aneurysms:
        own = phantom.labels == aneurysm.number
        centre = np.array(ndimage.center_of_mass(own))
        x, y, z = phantom.affine[0, 3], phantom.affine[1, 3], phantom.affine[2, 3]
        expected = (x + 1.25 * centre[2], y + 1.25 * centre[1], z + 1.0 * centre[0])
        assert aneurysm.centre_lps_mm == pytest.approx(expected)
        assert aneurysm.volume_mm3 == pytest.approx(own.sum() * 1.0 * 1.25 * 1.25)
        assert np.pi / 6 * aneurysm.diameter_mm**3 == pytest.approx(aneurysm.volume_mm3)


def test_it_is_a_head_in_air(phantom: Phantom) -> None:
    assert phantom.hu.dtype == np.int16 and phantom.hu.shape == SETTINGS.shape
    corners = phantom.hu[:, :6, :6]
    assert phantom.hu.min() >= -1024 and abs(corners.mean() + 1000) < 15
    middle = phantom.hu[50, 60:120, 70:106]
    assert 15 < np.median(middle) < 45  # brain
    bone = (phantom.hu > 600).mean()
    assert 0.02 < bone < 0.15
    assert phantom.hu.max() < 2500


def test_sacs_are_bright_and_next_to_an_artery(phantom: Phantom) -> None:
    arteries = phantom.arteries * [1.0, 1.25, 1.25]
    for aneurysm in phantom.aneurysms:
        own = np.argwhere(phantom.labels == aneurysm.number)
        assert np.median(phantom.hu[tuple(own.T)]) > 180
        gaps = np.linalg.norm(arteries[:, None] - own[None] * [1.0, 1.25, 1.25], axis=2)
        assert gaps.min() < 3.5


def test_noise_follows_the_settings() -> None:
    quiet = make_phantom(3, PhantomSettings((16, 96, 96), (3.0, 2.4, 2.4), (0, 0), noise_hu=(1.0, 1.0)))
    loud = make_phantom(3, PhantomSettings((16, 96, 96), (3.0, 2.4, 2.4), (0, 0), noise_hu=(20.0, 20.0)))
    assert quiet.aneurysms == () and not quiet.labels.any()
    assert quiet.hu[:, :5, :5].std() == pytest.approx(1.0, abs=0.2)
    assert (loud.hu - quiet.hu).std() == pytest.approx(19.0, rel=0.1)


@pytest.mark.parametrize(
    "wrong", [{"shape": (4, 64, 64)}, {"spacing_mm": (0.0, 1.0, 1.0)}, {"aneurysms": (3, 2)}]
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="aneurysms|phantom"):
        PhantomSettings(**wrong)
