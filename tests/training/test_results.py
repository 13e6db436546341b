from pathlib import Path

import numpy as np
import pytest

from tests.training.metrics.made_masks import SPACING_MM, made_masks
from training.metrics.case_score import score_case
from training.metrics.summary import summarise
from training.results import ResultsError, RunResults, load_results, save_results


def test_a_file_gives_the_same_figures_again(tmp_path: Path) -> None:
    scores = tuple(score_case(*made_masks(seed), SPACING_MM, f"case {seed}", "here") for seed in (0, 1))
    results = RunResults("glianet", "made", "3", {"seed": 1}, scores)
    save_results(tmp_path / "results.json", results)
    loaded = load_results(tmp_path / "results.json")
    assert (loaded.model, loaded.dataset, loaded.run, loaded.made) == ("glianet", "made", "3", {"seed": 1})
    assert summarise(loaded.scores) == summarise(scores)
    for one, other in zip(loaded.scores, scores, strict=True):
        assert one.targets == other.targets and one.froc == other.froc and one.voxels == other.voxels
        np.testing.assert_array_equal(one.histograms.negative, other.histograms.negative)


OTHER_VERSION = '{"format": "glianet-training results", "version": 2}'


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other", "version": 1}', OTHER_VERSION])
def test_what_is_no_results_file_is_told_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(ResultsError, match=r"results.json: it cannot be read as results"):
        load_results(path)
