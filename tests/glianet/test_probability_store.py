import numpy as np
import pytest
import torch

from glianet.probability_store import ProbabilityStore
from glianet.slab import UNIT


@pytest.mark.parametrize(("threshold", "expected"), [(None, [0.25, 0.5, 0.75]), (0.5, [0, 0, 0.75])])
def test_sums_become_means_and_those_not_strictly_above_the_threshold_are_dropped(
    threshold: float | None, expected: list[float]
) -> None:
    """Two slices after one of padding, 1 x 3 voxels; along y 1 patch, along z 2, along x 1 or 2."""
    store = ProbabilityStore((2, 1, 3), (1, 0, 0), threshold)
    sums = torch.tensor([[[9, 9, 9]], [[0.5, 2, 1.5]], [[0.5, 2, 1.5]]]) * UNIT
    counts = [np.array([1, 2, 2.0], np.float32), np.array([1], np.float32), np.array([1, 2, 1], np.float32)]
    store.put(0, sums.int(), counts)
    np.testing.assert_array_equal(store.probability, [[expected], [expected]])
