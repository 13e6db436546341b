import numpy as np
import pytest

from tests.training.made_cases import CENTRE, cube_case
from training.phantom import PhantomSettings, make_phantom
from training.training_case import case_from_arrays, case_from_phantom


def test_each_component_is_an_aneurysm_with_its_centre() -> None:
    hu, mask = np.zeros((20, 20, 20), np.int16), np.zeros((20, 20, 20), bool)
    mask[2:5, 2:5, 2:5] = True
    mask[10, 10, 10:13] = True
    case = case_from_arrays("two", hu, mask, seed=1)
    assert case.centres.tolist() == [[3, 3, 3], [10, 10, 11]]
    assert case.labels.max() == 2 and np.array_equal(case.labels > 0, mask)
    assert cube_case().centres.tolist() == [list(CENTRE)]


def test_places_are_of_their_kind_and_the_same_for_the_same_seed() -> None:
    case, again = cube_case(3), cube_case(3)
    assert all(160 < case.hu[tuple(place)] < 500 for place in case.bright)
    assert all(case.hu[tuple(place)] >= 500 for place in case.bone)
    assert np.array_equal(case.bright, again.bright) and len(case.bright) == 4000


def test_a_case_without_an_aneurysm_has_no_centre() -> None:
    case = case_from_arrays("none", np.zeros((8, 8, 8), np.int16), np.zeros((8, 8, 8), bool), seed=0)
    assert case.centres.shape == (0, 3)


def test_image_and_label_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="a: the image has shape"):
        case_from_arrays("a", np.zeros((8, 8, 8), np.int16), np.zeros((8, 8, 9), bool), seed=0)


def test_the_sacs_of_a_phantom_keep_their_numbers() -> None:
    phantom = make_phantom(3, PhantomSettings((40, 96, 96), (1.0, 1.5, 1.5), (2, 2)))
    case = case_from_phantom(phantom)
    assert np.array_equal(case.labels, phantom.labels) and len(case.centres) == len(phantom.aneurysms)
    for centre, planted in zip(case.centres, phantom.aneurysms, strict=True):
        position = phantom.affine[:3, :3] @ centre + phantom.affine[:3, 3]
        assert np.linalg.norm(position - planted.centre_lps_mm) < 1.5
