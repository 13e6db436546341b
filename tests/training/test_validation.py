import numpy as np
import pytest
import torch

from tests.training.made_cases import cube_case
from training.recipe import DataRecipe
from training.validation import validate, validation_cases
from training.validation_picture import FOUND_COLOUR, TRUTH_COLOUR, draw_case


class _Oracle(torch.nn.Module):
    """Calls an aneurysm what has 350 HU, which the upper window makes 0.25."""

    name = "oracle"

    def features(self, whole: torch.Tensor) -> None:
        return None

    def segment(self, patches: torch.Tensor, features: None, boxes: object) -> object:
        found = ((patches[:, 2] - 0.25).abs() < 1e-4).float()
        return type("Output", (), {"logits": torch.stack([20 - 40 * found, 40 * found - 20], dim=1)})


def test_a_network_that_knows_has_full_marks() -> None:
    seen: list[str] = []
    case = cube_case()
    case.hu[(case.hu == 350) & (case.labels == 0)] = 351
    found = validate(_Oracle(), iter([case]), torch.device("cpu"), 96, lambda case, p: seen.append(case.name))  # type: ignore[arg-type]
    assert (found.score, found.recall, found.fps_per_case, found.cases) == (1.0, 1.0, 0.0, 1)
    assert seen == ["cube 0"]


def test_nothing_to_validate_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="no case"):
        validate(_Oracle(), iter([]), torch.device("cpu"), 96)  # type: ignore[arg-type]


def test_without_a_manifest_phantoms_kept_for_it_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr("training.case_sources.MAKERS", {"varied": lambda seed: made.append(seed)})
    list(validation_cases((), DataRecipe(), 2))
    assert made == [800_000, 800_001]


def test_the_picture_outlines_truth_and_prediction_around_the_target() -> None:
    hu = np.full((20, 30, 40), -1000, np.int16)
    truth, probability = np.zeros(hu.shape, bool), np.zeros(hu.shape)
    truth[5:8, 10:13, 20:23] = True
    probability[5:8, 20:23, 5:8] = 0.9
    picture = draw_case(hu, truth, probability)
    assert picture.shape == (30, 40 + 40 + 30, 3)
    assert tuple(picture[9, 21]) == TRUTH_COLOUR and tuple(picture[19, 6]) == FOUND_COLOUR
    assert tuple(picture[0, 0]) == (0, 0, 0)


def test_without_an_aneurysm_the_score_is_zero() -> None:
    case = cube_case()
    case.hu[case.labels > 0] = 40
    case.labels[:] = 0
    found = validate(_Oracle(), iter([case]), torch.device("cpu"), 96)  # type: ignore[arg-type]
    assert (found.score, found.recall) == (0.0, None)
