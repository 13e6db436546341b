from itertools import permutations, product

import numpy as np
import pytest
import torch
from torch import Tensor

from glianet.errors import BackendError
from glianet.slab import UNIT, Slab
from glianet.window_grid import WindowGrid, window_grid

CPU = torch.device("cpu")


def _constant(value: float) -> Tensor:
    return torch.full((96, 96, 96), value)


@pytest.fixture(scope="module")
def grid() -> WindowGrid:
    """Patches from 0, 48, 54 along z and y, one along x."""
    return window_grid((150, 150, 96), 48)


def test_a_unit_is_the_finest_step_of_a_float32_below_one() -> None:
    assert float(np.nextafter(np.float32(1), np.float32(2)) - np.float32(1)) * UNIT == 1


def test_sums_around_one_half_do_not_depend_on_the_order_of_patches() -> None:
    """1, 1, 1e-7 and 1e-7 over a voxel: 2 x 2^23 + 2 units, a mean above one half, whichever comes first.

    In float32 it is 2 where the ones come first, and 2 + 2^-22 where they come last.
    """
    grid = window_grid((96, 97, 97), 48)
    patches, in_float32 = list(grid), set()
    assert len(patches) == 4
    for order in sorted(set(permutations((1.0, 1.0, 1e-7, 1e-7)))):
        slab, plain = Slab(grid, CPU), torch.zeros(())
        for patch, value in zip(patches, order, strict=True):
            slab.add(grid.window(patch), _constant(value))
            plain += value
        in_float32.add(float(plain))
        assert slab.move_to(96)[50, 50, 50] == 2 * UNIT + 2
    assert in_float32 == {2.0, 2.0 + 2.0**-22}


def test_random_patches_in_any_order_give_the_same_bits(grid: WindowGrid) -> None:
    rng = torch.Generator().manual_seed(4)
    patches = [(grid.window(patch), torch.rand((96, 96, 96), generator=rng)) for patch in grid]
    slabs = [Slab(grid, CPU), Slab(grid, CPU)]
    for slab, order in zip(slabs, (patches, patches[::-1]), strict=True):
        for window, probability in order:
            slab.add(window, probability)
    expected = np.zeros(grid.shape)
    for window, probability in patches:
        expected[window] += np.rint(probability.double().numpy() * 2**23)
    for slab in slabs:
        np.testing.assert_array_equal(slab.move_to(150), expected)


def test_finished_slices_are_returned_once_and_dropped(grid: WindowGrid) -> None:
    """Values 0.25, 0.5, 1 by z; 3 patches along y cover rows 54 to 95."""
    slab = Slab(grid, CPU)
    for patch in grid:
        if patch[0] == 0:
            slab.add(grid.window(patch), _constant(0.25))
    first = slab.move_to(48)
    kept = first.clone()
    for patch in grid:
        if patch[0] > 0:
            slab.add(grid.window(patch), _constant(0.5 if patch[0] == 1 else 1.0))
    second, third = slab.move_to(54), slab.move_to(150)
    assert [part.shape for part in (first, second, third)] == [(48, 150, 96), (6, 150, 96), (96, 150, 96)]
    assert (first[:, 60] == 0.75 * UNIT).all() and (first[:, 0] == 0.25 * UNIT).all()
    assert (second[:, 60] == 3 * 0.75 * UNIT).all()
    assert (third[0:42, 60] == 3 * 1.75 * UNIT).all()  # slices 54 to 95: all three layers
    assert (third[42:90, 60] == 3 * 1.5 * UNIT).all() and (third[90:, 60] == 3 * UNIT).all()
    assert torch.equal(first, kept), "what comes later must not change slices that were handed over"
    assert len(slab.move_to(150)) == 0


def test_slices_that_no_patch_reached_are_zero(grid: WindowGrid) -> None:
    slab = Slab(grid, CPU)
    assert slab.move_to(54).shape == (54, 150, 96)
    slab.add(grid.window((2, 0, 0)), _constant(1.0))
    rest = slab.move_to(150)
    assert rest.shape == (96, 150, 96) and (rest[:, :96] == UNIT).all() and not rest[:, 96:].any()


@pytest.mark.parametrize("moved", [0, 48])
def test_the_largest_sum_in_each_cell_is_that_of_its_voxels(grid: WindowGrid, moved: int) -> None:
    rng = torch.Generator().manual_seed(5)
    slab, sums = Slab(grid, CPU), np.zeros(grid.shape)
    for patch in grid:
        probability = torch.rand((96, 96, 96), generator=rng)
        slab.add(grid.window(patch), probability)
        sums[grid.window(patch)] += np.rint(probability.double().numpy() * 2**23)
    slab.move_to(moved)
    cells = (slice(1, 5), slice(0, 5), slice(0, 1))
    largest = slab.largest(cells)
    assert largest.shape == (4, 5, 1) and largest.dtype == np.float64
    cuts = (0, 48, 54, 96, 144, 150)
    for z, y in product(range(1, 5), range(5)):
        voxels = sums[cuts[z] : cuts[z + 1], cuts[y] : cuts[y + 1]]
        assert largest[z - 1, y, 0] == voxels.max() / 2**23


def test_the_largest_sum_is_0_where_no_patch_has_been_added(grid: WindowGrid) -> None:
    slab = Slab(grid, CPU)
    slab.add(grid.window((0, 0, 0)), _constant(1.0))
    largest = slab.largest((slice(0, 5), slice(0, 5), slice(0, 1)))
    np.testing.assert_array_equal(largest[:, 0, 0], [1, 1, 1, 0, 0])


def test_216_patches_of_probability_1_do_not_overflow() -> None:
    """Step 16: six patches along each axis over the voxels from 80 to 95."""
    grid = window_grid((176, 176, 176), 16)
    assert grid.patches == (6, 6, 6)
    assert _sum_of_ones(grid, 80) == 216 * UNIT


def test_343_patches_of_probability_1_do_not_overflow() -> None:
    """Step 16, and one patch flush with the end: seven along each axis. 343 x 2^23 is beyond an int32."""
    grid = window_grid((177, 177, 177), 16)
    assert grid.patches == (7, 7, 7)
    assert _sum_of_ones(grid, 90) == 343 * UNIT > 2**31


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 1.01])
def test_a_value_that_is_no_probability_is_refused(grid: WindowGrid, value: float) -> None:
    slab, probability = Slab(grid, CPU), _constant(0.5)
    probability[95, 0, 17] = value
    slab.add(grid.window((0, 1, 0)), probability)
    slab.add(grid.window((0, 2, 0)), _constant(0.5))
    with pytest.raises(BackendError, match="not from 0 to 1, or not a number"):
        slab.move_to(48)


def _sum_of_ones(grid: WindowGrid, voxel: int) -> int:
    """The sum at a voxel that every patch covers; of each patch only a cube of 6 voxels from there is added."""
    slab, cube = Slab(grid, CPU), slice(voxel, voxel + 6)
    for patch in grid:
        assert all(part.start <= cube.start and cube.stop <= part.stop for part in grid.window(patch))
        slab.add((cube, cube, cube), torch.ones((6, 6, 6)))
    cells = slice(0, len(grid.axes[0].cuts) - 1)
    largest = slab.largest((cells, cells, cells))
    total = int(slab.move_to(grid.shape[0])[voxel, voxel, voxel])
    assert largest.max() * UNIT == total
    return total
