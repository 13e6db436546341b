"""The coarse grid: which voxels of the source it takes, and where these lie."""

import numpy as np
import pytest

from dicom_node.encoding.coarse_grid import coarse_grid

AFFINE = np.array([[0, 0, 0.5, -120], [0, 0.4, 0, -110], [0.75, 0, 0, 30], [0, 0, 0, 1.0]])
"""Slices 0.75 mm apart, rows 0.4 mm, columns 0.5 mm: every 5th, 10th and 8th are about 4 mm apart."""


def test_every_nth_voxel_with_equal_rests_at_both_ends() -> None:
    grid = coarse_grid((12, 41, 40), AFFINE)
    assert grid.steps == (5, 10, 8)
    # 12 slices: 3 of them, 0.5 + 0 + 0.5 left over; 41 rows: 5 of them, at both ends; 40 columns: 5 of them
    assert [list(axis) for axis in grid.indices] == [[0, 5, 10], [0, 10, 20, 30, 40], [3, 11, 19, 27, 35]]


@pytest.mark.parametrize("length", range(1, 40))
def test_no_voxel_is_farther_than_half_a_step_from_one_of_the_grid(length: int) -> None:
    """Of 8 voxels, the middle is between two: it may be half a voxel more."""
    (_, _, columns) = coarse_grid((2, 2, length), AFFINE).indices
    assert columns[0] >= 0 and columns[-1] < length
    farthest = max(min(abs(voxel - column) for column in columns) for voxel in range(length))
    assert farthest <= 4


def test_places_and_sizes() -> None:
    grid = coarse_grid((12, 41, 40), AFFINE)
    measures, orientation = grid.measures[0], grid.orientation[0]
    assert [float(size) for size in measures.PixelSpacing] == [4.0, 4.0]
    assert float(measures.SpacingBetweenSlices) == float(measures.SliceThickness) == 3.75
    assert [float(value) for value in orientation.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    places = [[float(value) for value in item[0].ImagePositionPatient] for item in grid.positions]
    assert places == [[-118.5, -110.0, 30.0], [-118.5, -110.0, 33.75], [-118.5, -110.0, 37.5]]


def test_thick_slices_are_all_taken() -> None:
    thick = AFFINE.copy()
    thick[2, 0] = 9.0
    grid = coarse_grid((3, 41, 40), thick)
    assert list(grid.indices[0]) == [0, 1, 2]
    assert float(grid.measures[0].SpacingBetweenSlices) == 9.0
