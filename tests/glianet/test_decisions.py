"""The engine's procedure, played with window, slab and decisions on patches of 12^3 voxels that chance has made."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from glianet.decisions import Decisions
from glianet.slab import UNIT, Slab
from glianet.window_grid import Index, WindowGrid, window_grid

CPU = torch.device("cpu")
PATCH = 12
Patches = dict[Index, NDArray[np.float32]]


@pytest.fixture
def small_patches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An eighth of the edge: steps 3, 4, 6 and 12 are what 24, 32, 48 and 96 are for patches of 96."""
    monkeypatch.setattr("glianet.window_grid.PATCH_SIZE", PATCH)
    yield


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("step", [3, 4, 6, 12])
@pytest.mark.usefixtures("small_patches")
def test_what_is_left_out_changes_no_bit_above_the_threshold(step: int, threshold: float) -> None:
    above, left_out = 0, 0
    for seed in range(10):
        rng = np.random.default_rng([seed, step, round(10 * threshold)])
        z, y, x = rng.integers(PATCH, 27, 3).tolist()
        grid = window_grid((z, y, x), step)
        patches = {patch: _random_patch(rng, threshold) for patch in grid}
        wanted = rng.random(grid.patches) < rng.choice([0.5, 0.9, 1.0])
        sums, computed = _run(grid, wanted, threshold, patches, batch=int(rng.integers(1, 4)))
        full, count = _sums_of_all(grid, wanted, patches)
        expected = full / (count * UNIT) > threshold
        np.testing.assert_array_equal(sums / (count * UNIT) > threshold, expected)
        np.testing.assert_array_equal(sums[expected], full[expected])
        assert (sums <= full).all()
        above += int(expected.sum())
        left_out += int(wanted.sum()) - computed
    assert above > 0, "a test in which nothing exceeds the threshold shows nothing"
    if step < PATCH and threshold > 0.1:
        assert left_out > 0, "a test in which nothing is left out shows nothing"


@pytest.mark.usefixtures("small_patches")
def test_patches_with_one_hot_voxel_are_found_wherever_it_lies() -> None:
    """Every patch gives 1 at one voxel and 0 elsewhere: its mean is 1, and no other's is above 0."""
    grid = window_grid((25, 25, 25), 6)
    for voxel in np.random.default_rng(6).integers(0, 25, (40, 3)).tolist():
        volume = np.zeros(grid.shape, np.float32)
        volume[tuple(voxel)] = 1
        patches = {patch: volume[grid.window(patch)] for patch in grid}
        sums, computed = _run(grid, np.ones(grid.patches, bool), 0.5, patches)
        full, _ = _sums_of_all(grid, np.ones(grid.patches, bool), patches)
        assert sums[tuple(voxel)] == full[tuple(voxel)] > 0
        assert computed < len(patches)


def test_the_real_size_of_a_patch() -> None:
    """Rows of patches from y = 0, 48 and 54, in layers from z = 0, 48 and 96; those of the first layer are certain.

    Threshold 0.9. Corners of the volume lie in one patch, so that the outer rows of the outer layers are never put off;
    the other five are. In the first layer the middle row is needed. In the second, where each may still make it 2 of 2
    (outer rows) or 4 of 4 (middle row, from y = 96), all are. In the third, the middle row is 0 + 1 of 2: it is not.
    """
    grid = window_grid((192, 150, 96), 48)
    wanted = np.ones(grid.patches, bool)
    patches = {patch: np.full((96,) * 3, float(patch[0] == 0), np.float32) for patch in grid}
    sums, computed = _run(grid, wanted, 0.9, patches)
    full, count = _sums_of_all(grid, wanted, patches)
    assert (grid.patches, computed) == ((3, 3, 1), 8)
    np.testing.assert_array_equal(sums, full)
    above = sums / (count * UNIT) > 0.9
    assert above[:48].all() and not above[48:].any()


@pytest.mark.parametrize(("units", "above"), [(0, False), (1, True)])
@pytest.mark.usefixtures("small_patches")
def test_a_mean_of_exactly_the_threshold_is_not_above_it(units: int, above: bool) -> None:
    """Eight patches hold voxel (9, 9, 9). Four at 1 and four at 0 are 0.5; one unit more is above it."""
    grid = window_grid((24, 24, 24), 6)
    voxel = (9, 9, 9)
    for seed in range(20):
        patches = {patch: np.zeros((PATCH,) * 3, np.float32) for patch in grid}
        holding = [patch for patch in grid if max(patch) <= 1]
        order = np.random.default_rng(seed).permutation(8)
        for number in order[:4]:
            patches[holding[number]][_inside(grid, holding[number], voxel)] = 1
        patches[holding[order[4]]][_inside(grid, holding[order[4]], voxel)] = units / UNIT
        sums, _ = _run(grid, np.ones(grid.patches, bool), 0.5, patches)
        assert (sums[voxel] / (8 * UNIT) > 0.5) is np.bool_(above)
        assert not above or sums[voxel] == 4 * UNIT + units


@pytest.mark.parametrize(("largest", "needed"), [(0, False), (2.999, False), (3 + 1 / UNIT, True), (7, True)])
def test_the_last_open_patch_is_needed_when_it_can_lift_one_cell(largest: float, needed: bool) -> None:
    """Eight patches hold each voxel of patch (1, 1, 1); seven are known. 0.5 x 8 = 4 has to be exceeded."""
    grid = window_grid((240, 240, 240), 48)
    wanted = np.ones(grid.patches, bool)
    decisions = Decisions(grid, wanted, 0.5)
    for patch in grid:
        if patch != (1, 1, 1):
            decisions.close(patch)
    cells = grid.cells_of((1, 1, 1))
    assert (grid.patches_in_cells(wanted)[cells] == 8).all()
    sums = np.zeros((2, 2, 2))
    sums[1, 0, 1] = largest
    decisions.see(cells, sums)
    assert decisions.needs((1, 1, 1)) is needed


def test_unwanted_patches_count_as_zero() -> None:
    """As above, but nothing is known yet: three wanted patches cannot exceed 4, five can."""
    grid = window_grid((240, 240, 240), 48)
    for count, needed in ((3, False), (5, True)):
        wanted = np.zeros(grid.patches, bool)
        for z, y, x in [(1, 1, 1), (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)][:count]:
            wanted[z, y, x] = True
        assert Decisions(grid, wanted, 0.5).needs((1, 1, 1)) is needed


@pytest.mark.parametrize(
    ("threshold", "needed"), [(0.0, True), (0.1, True), (0.5, True), (0.999, True)]
)
def test_a_patch_alone_over_a_voxel_is_needed_below_threshold_1(threshold: float, needed: bool) -> None:
    grid = window_grid((96, 96, 96), 48)
    assert Decisions(grid, np.ones((1, 1, 1), bool), threshold).needs((0, 0, 0)) is needed


def test_at_threshold_0_nothing_is_put_off() -> None:
    grid = window_grid((200, 200, 200), 48)
    wanted = np.ones(grid.patches, bool)
    assert not Decisions(grid, wanted, 0.0).put_off(wanted).any()


def test_only_wanted_patches_are_put_off() -> None:
    grid = window_grid((240, 240, 240), 48)
    wanted = np.random.default_rng(7).random(grid.patches) < 0.7
    put_off = Decisions(grid, wanted, 0.5).put_off(wanted)
    assert put_off.any() and not (put_off & ~wanted).any()


def test_where_nothing_is_found_five_of_eight_patches_are_computed() -> None:
    """400 x 512 x 512, step 48: inside, every voxel lies in eight patches or more, and three of eight are left out.

    At the border a voxel lies in one, two or four, of which none, none and one can be left out: 576 of all 800.
    """
    grid = window_grid((400, 512, 512), 48)
    wanted = np.ones(grid.patches, bool)
    decisions = Decisions(grid, wanted, 0.5)
    computed = ~decisions.put_off(wanted)
    for z, y, x in np.argwhere(computed).tolist():
        decisions.close((z, y, x))
    for patch in grid:
        if not computed[patch] and decisions.needs(patch):
            decisions.close(patch)
            computed[patch] = True
    assert computed.size == 800 and np.count_nonzero(computed) <= 576
    inside = computed[1:-1, 1:-1, 1:-1]
    assert 0.5 * inside.size <= np.count_nonzero(inside) <= 0.63 * inside.size


def _random_patch(rng: np.random.Generator, threshold: float) -> NDArray[np.float32]:
    """Of one of four kinds: nothing, a little, all around the threshold, or hot in a part; with exact 0 and 1."""
    shape = (PATCH,) * 3
    kind = rng.choice(4, p=[0.55, 0.2, 0.15, 0.1])
    if kind == 0:
        return np.zeros(shape, np.float32)
    if kind == 1:
        values = rng.random(shape) * 0.05
    elif kind == 2:
        values = threshold + rng.choice([-1e-7, 0, 1e-7, 1e-3], shape)
    else:
        values = rng.choice([0.0, 1.0], shape)
        values[:6] = rng.choice([0.0, 1.0, threshold])
    return values.clip(0, 1).astype(np.float32)


def _sums_of_all(
    grid: WindowGrid, wanted: NDArray[np.bool_], patches: Patches
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sums of every wanted patch in units, and the number of patches, wanted or not, over each voxel."""
    sums, count = np.zeros(grid.shape, np.int64), np.zeros(grid.shape, np.int64)
    for patch in grid:
        count[grid.window(patch)] += 1
        if wanted[patch]:
            sums[grid.window(patch)] += np.rint(patches[patch].astype(np.float64) * 2**23).astype(np.int64)
    return sums, count


def _run(
    grid: WindowGrid, wanted: NDArray[np.bool_], threshold: float, patches: Patches, batch: int = 1
) -> tuple[NDArray[np.int64], int]:
    """Sums in units, and how many patches were computed, by the steps of `glianet.engine`: layer by layer."""
    decisions, slab, finished = Decisions(grid, wanted, threshold), Slab(grid, CPU), []
    put_off = decisions.put_off(wanted)
    edge = next(iter(patches.values())).shape[0]
    _, height, width = (slice(0, len(axis.cuts) - 1) for axis in grid.axes)
    starts, ready, computed = grid.axes[0].starts, 0, 0

    def compute(chosen: list[Index], needed: Callable[[Index], bool]) -> int:
        total = 0
        for first in range(0, len(chosen), batch):
            together = [patch for patch in chosen[first : first + batch] if needed(patch)]
            for patch in together:
                slab.add(grid.window(patch), torch.from_numpy(patches[patch]))
            for patch in together:
                decisions.close(patch)
                decisions.see(grid.cells_of(patch), slab.largest(grid.cells_of(patch)))
            total += len(together)
        return total

    for layer, start in enumerate(starts):
        while ready < len(starts) and starts[ready] < start + edge:
            computed += compute(_of_layer(wanted & ~put_off, ready), lambda patch: True)
            ready += 1
        cells = (grid.axes[0].cells_of(layer), height, width)
        decisions.see(cells, slab.largest(cells))
        computed += compute(_of_layer(put_off, layer), decisions.needs)
        finished.append(slab.move_to(starts[layer + 1] if layer + 1 < len(starts) else grid.shape[0]))
    return torch.cat(finished).numpy().astype(np.int64), computed


def _of_layer(chosen: NDArray[np.bool_], layer: int) -> list[Index]:
    return [(layer, row, column) for row, column in np.argwhere(chosen[layer]).tolist()]


def _inside(grid: WindowGrid, patch: Index, voxel: Index) -> Index:
    """The voxel's index in the patch."""
    z, y, x = (place - first for place, first in zip(voxel, grid.start(patch), strict=True))
    return z, y, x
