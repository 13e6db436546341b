"""How good a network is while it trains: whole cases, by what it detects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.case_sources import load_case, phantom_maker
from training.manifest import ManifestCase
from training.metrics.case_score import CaseScore, score_case
from training.metrics.summary import summarise
from training.models.build_model import SegmentationModel
from training.phantom_geometry import FIRST_RESERVED_SEED
from training.recipe import DataRecipe
from training.sliding_window import score_volume_with
from training.training_case import TrainingCase


@dataclass(frozen=True)
class Validation:
    """score: `froc_score`, by which the best weights are kept; 0 without a target. The rest at the threshold 0.5."""

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
    return Validation(summary.froc_score or 0.0, summary.target_recall, summary.fps_per_case, summary.ap, len(scores))


def validation_cases(manifest_cases: Sequence[ManifestCase], recipe: DataRecipe, count: int) -> Iterator[TrainingCase]:
    """The labelled cases of a manifest's split "validation"; without a manifest, phantoms kept for validation."""
    if manifest_cases:
        yield from (load_case(listed) for listed in manifest_cases if listed.label)
        return
    make = phantom_maker(recipe)
    for seed in range(FIRST_RESERVED_SEED, FIRST_RESERVED_SEED + count):
        yield make(seed)
