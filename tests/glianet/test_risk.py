from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from glianet.errors import SettingsError, VolumeError
from glianet.network import LOCATION_SIZE, GLIANet, feature_cells
from glianet.risk import Ends, _adaptive_bins, _pool, _sort, risk_grid, step_for_overlap
from glianet.tiling import global_box, patch_starts

AGREEMENT = 1e-5
CELLS = 24

BORDERS_AND_CLIPPED: list[Ends] = [(0, 23), (72, 95), (60, 140), (-30, 9), (0, 95)]
ONE_CELL: list[Ends] = [(40, 40), (0, 1), (91, 93), (47, 49)]
IRREGULAR: list[Ends] = [(31, 50), (12, 29), (12, 29), (13, 30), (5, 71), (31, 50)]


@pytest.fixture(scope="module")
def features() -> Tensor:
    """(1, 128, 24, 24, 24), no two cells alike."""
    return torch.randn(1, 128, CELLS, CELLS, CELLS, generator=torch.Generator().manual_seed(3))


def box_by_box(network: GLIANet, features: Tensor, boxes: tuple[list[Ends], ...]) -> np.ndarray:
    rows = [(*z, *y, *x) for z, y, x in product(*boxes)]
    with torch.inference_mode():
        logits = network.localise(features, rows)[1]
    return torch.softmax(logits, dim=1)[:, 1].reshape([len(axis) for axis in boxes]).numpy()


@pytest.mark.parametrize(
    "boxes",
    [
        (BORDERS_AND_CLIPPED, ONE_CELL, IRREGULAR),
        (ONE_CELL, IRREGULAR, BORDERS_AND_CLIPPED),
        (IRREGULAR, BORDERS_AND_CLIPPED, ONE_CELL),
        ([(30, 47)], [(30, 47)], [(30, 47)]),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_a_grid_has_the_risks_of_its_boxes_one_by_one(
    network: GLIANet,
    features: Tensor,
    boxes: tuple[list[Ends], list[Ends], list[Ends]],
    memory_format: torch.memory_format,
) -> None:
    expected = box_by_box(network, features, boxes)
    risks = risk_grid(network, features.contiguous(memory_format=memory_format), boxes)
    assert risks.dtype == np.float32
    np.testing.assert_allclose(risks, expected, rtol=0, atol=AGREEMENT)


def test_the_boxes_of_the_test_have_different_risks(network: GLIANet, features: Tensor) -> None:
    """Otherwise the agreement above would prove nothing."""
    risks = risk_grid(network, features, (BORDERS_AND_CLIPPED, ONE_CELL, IRREGULAR))
    distinct = np.unique(risks.round(4))
    assert len(distinct) > 50 and np.ptp(distinct) > 1000 * AGREEMENT


def test_a_sliding_window_has_the_risks_of_its_boxes_one_by_one(network: GLIANet, features: Tensor) -> None:
    """Step 40 over (120, 200, 160): starts 0, 24; 0, 40, 80, 104; 0, 40, 64."""
    shape = (120, 200, 160)
    starts = [patch_starts(length, 96, 40) for length in shape]
    rows = [global_box(start, shape) for start in product(*starts)]
    boxes = (
        [row[0:2] for row in rows[::12]],
        [row[2:4] for row in rows[:12:3]],
        [row[4:6] for row in rows[:3]],
    )
    with torch.inference_mode():
        logits = network.localise(features, rows)[1]
    np.testing.assert_allclose(
        risk_grid(network, features, boxes).ravel(),
        torch.sigmoid(logits[:, 1] - logits[:, 0]),
        rtol=0,
        atol=AGREEMENT,
    )


def test_the_features_and_the_network_stay_as_they_are(network: GLIANet, features: Tensor) -> None:
    before, weights = (
        features.clone(),
        {name: tensor.clone() for name, tensor in network.state_dict().items()},
    )
    risk_grid(network, features, (ONE_CELL, ONE_CELL, ONE_CELL))
    assert torch.equal(features, before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_intervals_are_pooled_as_pytorch_does() -> None:
    cells = torch.randn(CELLS, 7, generator=torch.Generator().manual_seed(5))
    for length in range(1, CELLS + 1):
        for first in range(CELLS - length + 1):
            bins = _adaptive_bins(np.array([[first, first + length - 1]]))[0]
            expected = functional.adaptive_max_pool1d(cells[first : first + length].T, LOCATION_SIZE).T
            assert torch.equal(_pool(cells, 0, bins), expected), (first, length)


def test_bins_by_hand() -> None:
    """Cells 10 to 13 in 6 bins: i * 4 / 6 = 0, .67, 1.33, 2, 2.67, 3.33, 4, rounded outwards, from cell 10."""
    expected = [[10, 10], [10, 11], [11, 11], [12, 12], [12, 13], [13, 13]]
    np.testing.assert_array_equal(_adaptive_bins(np.array([[10, 13]])), [expected])


def test_boxes_over_the_same_cells_are_one() -> None:
    """Ends divided by 4: 12.5, 3 -> 3 to 12 (half to even); 2.75, 12 -> 3 to 12; 3.5 -> 4; their bins are shared."""
    axis = _sort([(12, 50), (11, 48), (14, 50), (12, 50)], CELLS)
    assert axis.interval.tolist() == [0, 0, 1, 0]
    assert axis.picks.shape == (2, LOCATION_SIZE)
    assert len(axis.bins) == len({tuple(ends) for ends in axis.bins.tolist()}) < 12


def test_rounding_of_boxes_to_cells_by_hand() -> None:
    assert feature_cells(2, 6, 24) == slice(0, 3)  # 0.5 -> 0, 1.5 -> 2
    assert feature_cells(10, 17, 24) == slice(2, 5)  # 2.5 -> 2, 4.25 -> 4
    assert feature_cells(78, 95, 24) == slice(20, 24)  # 19.5 -> 20, 23.75 -> 24, clipped to 23
    assert feature_cells(-9, 8, 24) == slice(0, 3)


@pytest.mark.parametrize("outside", [(94, 95), (120, 140), (-20, -8)])
def test_a_box_without_a_cell_is_refused(network: GLIANet, features: Tensor, outside: Ends) -> None:
    with pytest.raises(VolumeError, match=f"voxels {outside[0]} to {outside[1]} .* cover none of 24 cells"):
        risk_grid(network, features, (ONE_CELL, [outside], ONE_CELL))


def test_progress_rises_to_the_distinct_boxes(network: GLIANet, features: Tensor) -> None:
    """9 distinct intervals along y and x: 81 boxes in a plane; 5 along z, one of them twice."""
    steps = [(4 * first, 4 * first + 20) for first in range(9)]
    calls: list[tuple[int, int]] = []
    risk_grid(network, features, (steps[:5] + steps[:1], steps, steps), lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert calls[0] == (0, 405) and calls[-1] == (405, 405)
    assert {call[1] for call in calls} == {405}
    assert done == sorted(set(done)) and len(done) >= 6


def test_an_exception_of_progress_ends_the_computation(network: GLIANet, features: Tensor) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        risk_grid(network, features, (ONE_CELL, ONE_CELL, ONE_CELL), stop)


@pytest.mark.parametrize(
    ("overlap", "patch", "step"),
    [(0.84, 96, 15), (0, 96, 96), (0.5, 96, 48), (2 / 3, 96, 32), (0.75, 64, 16), (0.999, 96, 1)],
)
def test_step_for_an_overlap(overlap: float, patch: int, step: int) -> None:
    assert step_for_overlap(overlap, patch) == step


@pytest.mark.parametrize("overlap", [1, 1.5, -0.1, float("nan")])
def test_an_overlap_that_is_no_fraction_is_refused(overlap: float) -> None:
    with pytest.raises(SettingsError, match="overlap of the window"):
        step_for_overlap(overlap)
