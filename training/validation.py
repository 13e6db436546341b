"""How good a network is while it trains: whole cases, by what it detects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.case_sources import load_case, phantom_maker
from training.manifest import ManifestCase
from training.metrics.case_score import CaseScore, score_case
from training.metrics.summary import froc_points, summarise
from training.models.build_model import SegmentationModel
from training.phantom_geometry import FIRST_RESERVED_SEED
from training.recipe import DataRecipe
from training.sliding_window import score_volume_with
from training.training_case import TrainingCase

FALSE_POSITIVES_PER_CASE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""At which recall is read off the free-response curve; its mean is the score that the best weights are kept by."""


@dataclass(frozen=True)
class Validation:
    """score: mean target-wise recall over `FALSE_POSITIVES_PER_CASE`, 0 to 1. The rest at the threshold 0.5."""

    score: float
    recall: float | None
    fps_per_case: float
    ap: float | None
    cases: int


def validate(
    model: SegmentationModel,
    cases: Iterator[TrainingCase],
    device: torch.device,
    step: int,
    seen: Callable[[TrainingCase, np.ndarray], None] | None = None,
) -> Validation:
    """Scores whole cases, one in memory at a time. seen: called with each case and its probability (D, H, W).

    Raises ValueError without any case.
    """
    scores: list[CaseScore] = []
    for case in cases:
        probability = score_volume_with(model, case.hu, step=step, device=device)
        scores.append(score_case(case.labels > 0, probability, (1.0, 1.0, 1.0), case.name))
        if seen:
            seen(case, probability)
    if not scores:
        raise ValueError("there is no case to validate on")
    summary = summarise(scores)
    score = detection_score(froc_points(scores))
    return Validation(score, summary.target_recall, summary.fps_per_case, summary.ap, len(scores))


def detection_score(points: Sequence[tuple[float, float | None, float]]) -> float:
    """Mean over `FALSE_POSITIVES_PER_CASE` of the best recall at no more than so many; 0 where there is no target.

    points: (threshold, recall, false positives a case).
    """
    best = [
        max((recall or 0.0 for _, recall, fps in points if fps <= limit), default=0.0)
        for limit in FALSE_POSITIVES_PER_CASE
    ]
    return float(np.mean(best))


def validation_cases(manifest_cases: Sequence[ManifestCase], recipe: DataRecipe, count: int) -> Iterator[TrainingCase]:
    """The labelled cases of a manifest's split "validation"; without a manifest, phantoms kept for validation."""
    if manifest_cases:
        yield from (load_case(listed) for listed in manifest_cases if listed.label)
        return
    make = phantom_maker(recipe)
    for seed in range(FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + count):
        yield make(seed)
