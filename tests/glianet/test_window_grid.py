from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from glianet.errors import VolumeError
from glianet.window_grid import WindowGrid, window_grid

SHAPE, STEP = (150, 96, 161), 32
"""Patches from 0, 32, 54 along z, from 0 along y, from 0, 32, 64, 65 along x."""


@pytest.fixture(scope="module")
def grid() -> WindowGrid:
    return window_grid(SHAPE, STEP)


def test_edges_of_patches_cut_an_axis_into_cells() -> None:
    """150 voxels, step 48: patches 0-95, 48-143 and, flush with the end, 54-149."""
    axis = window_grid((150, 96, 96), 48).axes[0]
    assert axis.starts == (0, 48, 54)
    assert axis.cuts == (0, 48, 54, 96, 144, 150)
    expected = [[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [0, 0, 1]]
    np.testing.assert_array_equal(axis.coverage, expected)
    assert [axis.cells_of(patch) for patch in range(3)] == [slice(0, 3), slice(1, 4), slice(2, 5)]


def test_an_axis_of_one_patch_is_one_cell() -> None:
    axis = window_grid((96, 96, 96), 48).axes[2]
    assert axis.starts == (0,) and axis.cuts == (0, 96) and axis.cells_of(0) == slice(0, 1)


def test_patches_that_only_touch_leave_no_gap_and_no_overlap() -> None:
    """200 voxels, step 96: 0-95, and 96-191 and 104-199, which overlap."""
    axis = window_grid((200, 96, 96), 96).axes[0]
    assert axis.cuts == (0, 96, 104, 192, 200)
    np.testing.assert_array_equal(axis.coverage.sum(axis=1), [1, 1, 2, 1])


def test_a_volume_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(VolumeError, match="95 voxels are fewer than a patch of 96"):
        window_grid((96, 95, 200), 48)


def test_positions_are_counted_along_the_axes(grid: WindowGrid) -> None:
    assert grid.starts == ((0, 32, 54), (0,), (0, 32, 64, 65))
    assert grid.patches == (3, 1, 4)
    positions = list(grid)
    assert len(positions) == 12 and positions[:2] == [(0, 0, 0), (0, 0, 1)] and positions[-1] == (2, 0, 3)
    assert grid.start((2, 0, 3)) == (54, 0, 65)
    assert grid.window((2, 0, 3)) == (slice(54, 150), slice(0, 96), slice(65, 161))


def test_the_cells_of_a_patch_are_its_voxels(grid: WindowGrid) -> None:
    for patch in grid:
        cells = grid.cells_of(patch)
        ends = [
            slice(axis.cuts[part.start], axis.cuts[part.stop])
            for axis, part in zip(grid.axes, cells, strict=True)
        ]
        assert tuple(ends) == grid.window(patch)


def test_patches_in_cells_are_those_that_hold_the_voxels_of_the_cell(grid: WindowGrid) -> None:
    chosen = np.random.default_rng(1).random(grid.patches) < 0.6
    voxels = np.zeros(SHAPE, np.int64)
    for patch in grid:
        voxels[grid.window(patch)] += chosen[patch]
    counts = grid.patches_in_cells(chosen)
    assert counts.shape == tuple(len(axis.cuts) - 1 for axis in grid.axes)
    for cell, voxel_slices in _cells(grid):
        assert np.unique(voxels[voxel_slices]).tolist() == [counts[cell]]
    assert counts.min() < counts.max()


def test_any_in_patches_is_any_chosen_voxel_in_the_window(grid: WindowGrid) -> None:
    chosen = np.zeros([len(axis.cuts) - 1 for axis in grid.axes], bool)
    chosen[0, 0, 1] = chosen[-1, 0, -1] = True
    voxels = np.zeros(SHAPE, bool)
    for cell, voxel_slices in _cells(grid):
        voxels[voxel_slices] = chosen[cell]
    expected = np.array([voxels[grid.window(patch)].any() for patch in grid]).reshape(grid.patches)
    np.testing.assert_array_equal(grid.any_in_patches(chosen), expected)
    assert expected.any() and not expected.all()


def test_cell_maxima_are_those_of_the_voxels(grid: WindowGrid) -> None:
    hu = np.random.default_rng(3).integers(-1024, 3072, SHAPE, np.int16)
    maxima = grid.cell_maxima(hu)
    for cell, voxel_slices in _cells(grid):
        assert maxima[cell] == hu[voxel_slices].max()


def test_cell_maxima_see_the_last_voxel_of_the_volume(grid: WindowGrid) -> None:
    hu = np.full(SHAPE, -1000, np.int16)
    hu[-1, -1, -1] = 5
    maxima = grid.cell_maxima(hu)
    assert maxima[-1, -1, -1] == 5 and (maxima == 5).sum() == 1


def _cells(grid: WindowGrid) -> list[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Number and voxels of each cell, by the places where the set of patches that hold a voxel changes."""
    axes: list[list[slice]] = []
    for starts, length in zip(grid.starts, grid.shape, strict=True):
        held: list[NDArray[np.bool_]] = [
            np.array([start <= voxel < start + 96 for start in starts]) for voxel in range(length)
        ]
        cuts = [0, *(voxel for voxel in range(1, length) if (held[voxel] != held[voxel - 1]).any()), length]
        axes.append([slice(first, last) for first, last in zip(cuts[:-1], cuts[1:], strict=True)])
    numbers = product(*(range(len(axis)) for axis in axes))
    return list(zip(numbers, product(*axes), strict=True))
