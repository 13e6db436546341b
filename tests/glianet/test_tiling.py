from itertools import product

import numpy as np
import pytest

from glianet.errors import VolumeError
from glianet.tiling import cube_padding, global_box, pad_to_patch, patch_starts
from tests.glianet.formulas import reference


@pytest.mark.parametrize(
    ("length", "step", "starts"),
    [
        (96, 48, (0,)),
        (97, 48, (0, 1)),
        (144, 48, (0, 48)),
        (150, 48, (0, 48, 54)),
        (160, 32, (0, 32, 64)),
        (200, 96, (0, 96, 104)),
    ],
)
def test_starts_step_on_and_end_flush(length: int, step: int, starts: tuple[int, ...]) -> None:
    assert patch_starts(length, 96, step) == starts


def test_an_axis_shorter_than_a_patch_is_refused() -> None:
    with pytest.raises(VolumeError, match="95 voxels are fewer than a patch of 96"):
        patch_starts(95)


@pytest.mark.parametrize("name", ["vol0", "vol1"])
def test_starts_and_boxes_are_the_published_ones(name: str) -> None:
    shape = tuple(reference()[f"{name}_shape"].tolist())
    step = int(reference()[f"{name}_step"])
    starts = list(product(*(patch_starts(length, 96, step) for length in shape)))
    np.testing.assert_array_equal(starts, reference()[f"{name}_starts"])
    np.testing.assert_array_equal(
        [global_box(start, shape) for start in starts], reference()[f"{name}_bboxes"]
    )


def test_box_of_a_patch_of_another_size() -> None:
    """Cube 192, half a global voxel each; 46 voxels before the 100 slices: ends (46 + 32) / 2 = 39, + 64 -> 71 - 1."""
    assert global_box((32, 0, 128), (100, 192, 192), patch=64) == (39, 70, 0, 31, 64, 95)
    assert global_box((32, 0, 128), (100, 192, 192), patch=(64, 192, 64)) == (39, 70, 0, 95, 64, 95)


def test_an_odd_missing_voxel_lies_behind_the_volume() -> None:
    assert cube_padding((101, 104, 98)) == (104, (1, 0, 3))


def test_a_small_volume_is_padded_around_its_centre_with_its_lowest_value() -> None:
    hu = np.full((93, 96, 100), 40, np.int16)
    hu[0, 0, 0] = -1024
    padded, before = pad_to_patch(hu)
    assert before == (1, 0, 0) and padded.shape == (96, 96, 100)
    np.testing.assert_array_equal(padded[1:94], hu)
    assert (padded[0] == -1024).all() and (padded[94:] == -1024).all()


def test_a_large_volume_is_not_copied() -> None:
    hu = np.zeros((96, 96, 96), np.int16)
    assert pad_to_patch(hu)[0] is hu
