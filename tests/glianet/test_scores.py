import numpy as np
import pytest

from glianet.scores import RiskGrid, Scores

STARTS = ((0, 48), (0,), (-2,))


@pytest.fixture
def scores() -> Scores:
    """144 slices in two positions of the window, a padded axis of 92 voxels; risks 0.2 and 0.8."""
    return Scores(
        probability=np.zeros((144, 96, 92), np.float32),
        risk=RiskGrid(np.array([0.2, 0.8], np.float32).reshape(2, 1, 1), STARTS),
        fine_risk=None,
        step=48,
        exact=False,
        threshold=None,
        patches_computed=2,
        patches_skipped=0,
    )


def test_risk_is_the_mean_of_the_patches_that_cover_a_voxel(scores: Scores) -> None:
    expected = np.repeat([0.2, 0.5, 0.8], 48)[:, None, None] * np.ones((1, 96, 92))
    risk = scores.risk.to_map(scores.shape)
    assert risk.dtype == np.float32
    np.testing.assert_allclose(risk, expected, atol=1e-7)


@pytest.mark.parametrize(("k", "risk"), [(0, 0.2), (47, 0.2), (48, 0.5), (95, 0.5), (96, 0.8), (143, 0.8)])
def test_risk_at_a_voxel(scores: Scores, k: int, risk: float) -> None:
    assert scores.risk.at((k, 95, 91)) == pytest.approx(risk)


def test_risk_on_a_coarser_grid_is_the_maps_at_these_voxels(scores: Scores) -> None:
    indices = (range(7, 144, 40), [0, 95], range(1, 92, 45))
    coarse = scores.risk.to_grid(indices)
    assert coarse.shape == (4, 2, 3) and coarse.dtype == np.float32
    np.testing.assert_allclose(coarse[:, 0, 0], [0.2, 0.2, 0.5, 0.8], atol=1e-7)  # slices 7, 47, 87 and 127
    np.testing.assert_array_equal(coarse, scores.risk.to_map(scores.shape)[np.ix_(*indices)])
