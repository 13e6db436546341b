"""All cases together: voxels and targets are pooled, distances averaged."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from statistics import mean
from typing import Any

import numpy as np

from training.metrics.case_score import FROC_THRESHOLDS, SIZE_NAMES, CaseScore
from training.metrics.curves import precision_recall_curve, roc_curve
from training.metrics.voxels import VoxelCounts, VoxelHistograms, ratio

FALSE_POSITIVES_PER_CASE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""At which recall is read off a free-response curve for its score."""


@dataclass(frozen=True)
class SizeSummary:
    """Aneurysms of one size class; false positives are those of the cases that have one of them (Table 5)."""

    targets: int
    found: int
    recall: float | None
    fps_per_case: float | None


@dataclass(frozen=True)
class Summary:
    """The figures of the paper's Tables 2, 3 and 5 and its case-wise ones, and `froc_score`.

    Rates from 0 to 1, None where undefined.
    """

    cases: int
    precision: float | None
    recall: float | None
    dsc: float | None
    hd95_mm: float | None
    auc: float | None
    ap: float | None
    target_tp: int
    target_fp: int
    target_fn: int
    target_precision: float | None
    target_recall: float | None
    fps_per_case: float
    froc_score: float | None
    sensitivity: float | None
    specificity: float | None
    accuracy: float
    by_size: dict[str, SizeSummary]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def summarise(scores: Sequence[CaseScore]) -> Summary:
    """The figures over at least one case."""
    counts, histograms = pool_voxels(scores)
    roc, precision_recall = roc_curve(histograms), precision_recall_curve(histograms)
    distances = [score.hd95_mm for score in scores if score.hd95_mm is not None]
    tp, fp, fn = (sum(getattr(score.targets, kind) for score in scores) for kind in ("tp", "fp", "fn"))
    positive = [score.found_positive for score in scores if score.has_aneurysm]
    negative = [not score.found_positive for score in scores if not score.has_aneurysm]
    return Summary(
        cases=len(scores),
        precision=counts.precision,
        recall=counts.recall,
        dsc=counts.dsc,
        hd95_mm=mean(distances) if distances else None,
        auc=roc.area if roc else None,
        ap=precision_recall.area if precision_recall else None,
        target_tp=tp,
        target_fp=fp,
        target_fn=fn,
        target_precision=_target_precision(scores),
        target_recall=ratio(tp, tp + fn),
        fps_per_case=fp / len(scores),
        froc_score=froc_score(froc_points(scores)),
        sensitivity=ratio(sum(positive), len(positive)),
        specificity=ratio(sum(negative), len(negative)),
        accuracy=sum(positive + negative) / len(scores),
        by_size={name: _of_size(scores, number) for number, name in enumerate(SIZE_NAMES)},
    )


def pool_voxels(scores: Sequence[CaseScore]) -> tuple[VoxelCounts, VoxelHistograms]:
    """Counts and histograms of all voxels of all cases."""
    tp, fp, fn, tn = (sum(getattr(score.voxels, kind) for score in scores) for kind in ("tp", "fp", "fn", "tn"))
    histograms = scores[0].histograms
    for score in scores[1:]:
        histograms = histograms + score.histograms
    return VoxelCounts(tp, fp, fn, tn), histograms


def froc_points(scores: Sequence[CaseScore]) -> list[tuple[float, float | None, float]]:
    """(threshold, target-wise recall, false positives a case) from the lowest threshold to the highest."""
    targets = sum(len(score.targets.true) for score in scores)
    found = np.array([score.froc for score in scores]).sum(axis=0)
    return [
        (threshold, ratio(int(tp), targets), int(fp) / len(scores))
        for threshold, (tp, fp) in zip(FROC_THRESHOLDS, found, strict=True)
    ]


def froc_score(points: Sequence[tuple[float, float | None, float]]) -> float | None:
    """Mean over `FALSE_POSITIVES_PER_CASE` of the best recall at no more than so many; None where there is no target.

    points: as `froc_points` gives them. It hangs less on where a model puts 0.5 than recall at one threshold does. The
    curve is followed from the highest threshold down to the first with more false positives, 0 where that is the
    highest: at low ones all of a head can be one component, whose radius reaches every aneurysm.
    """
    if any(recall is None for _, recall, _ in points):
        return None
    return mean(_recall_within(limit, points) for limit in FALSE_POSITIVES_PER_CASE)


def _recall_within(limit: float, points: Sequence[tuple[float, float | None, float]]) -> float:
    followed = takewhile(lambda point: point[2] <= limit, reversed(points))
    return max((recall or 0.0 for _, recall, _ in followed), default=0.0)


def by_institution(scores: Sequence[CaseScore]) -> dict[str, Summary]:
    """A summary of each institution's cases, in alphabetical order."""
    names = sorted({score.institution for score in scores})
    return {name: summarise([score for score in scores if score.institution == name]) for name in names}


def _target_precision(scores: Sequence[CaseScore]) -> float | None:
    predicted = [target.matched for score in scores for target in score.targets.predicted]
    return ratio(sum(predicted), len(predicted))


def _of_size(scores: Sequence[CaseScore], size: int) -> SizeSummary:
    found = [
        target.matched
        for score in scores
        for target, own in zip(score.targets.true, score.sizes, strict=True)
        if own == size
    ]
    fps = [score.targets.fp for score in scores if size in score.sizes]
    return SizeSummary(len(found), sum(found), ratio(sum(found), len(found)), mean(fps) if fps else None)
