"""Scored cases whose counts are drawn or given, for tables and intervals."""

import numpy as np

from training.metrics.case_score import FROC_THRESHOLDS, CaseScore
from training.metrics.targets import Target, TargetMatches
from training.metrics.voxels import CURVE_THRESHOLDS, VoxelCounts, VoxelHistograms

SPACING_MM = (1.0, 0.5, 0.5)
"""A voxel has 0.25 mm3: 40 voxels are 2.7 mm across, 300 are 5.2 mm, 2000 are 9.8 mm."""

SIZES = (40, 300, 2000)


def made_scores(cases: int, seed: int, skill: float = 0.7) -> list[CaseScore]:
    """A third without an aneurysm; skill: the share of targets that are found. All seeds have the same truth."""
    truth, luck = np.random.default_rng(100), np.random.default_rng([seed, round(100 * skill)])
    return [_drawn_case(number, truth, luck, skill) for number in range(cases)]


def counted_case(
    name: str, voxels: tuple[int, int, int, int], true: tuple[tuple[int, bool], ...], false_positives: int,
    hd95_mm: float | None = None, institution: str = "", scores: tuple[float, float] = (0.9, 0.05),
) -> CaseScore:  # fmt: skip
    """A case by its counts. voxels: tp, fp, fn, tn; true: (voxels, found) of each; scores of true and other voxels."""
    targets = tuple(Target((float(10 * n), 0.0, 0.0), size, 1.0, found) for n, (size, found) in enumerate(true))
    predicted = tuple(Target(target.centre, target.voxels, 0.9, True) for target in targets if target.matched)
    wrong = tuple(Target((0.0, 50.0 + 10 * n, 0.0), 30, 0.7, False) for n in range(false_positives))
    tp, fp, fn, tn = voxels
    histograms = VoxelHistograms(_at(scores[0], tp + fn), _at(scores[1], fp + tn))
    matches = TargetMatches(targets, predicted + wrong)
    froc = tuple((matches.tp, max(0, 6 - n) + matches.fp) for n in range(len(FROC_THRESHOLDS)))
    return CaseScore(name, institution, SPACING_MM, VoxelCounts(*voxels), histograms, hd95_mm, matches, froc)


def _at(score: float, voxels: int) -> np.ndarray:
    counts = np.zeros(len(CURVE_THRESHOLDS) + 1, np.int64)
    counts[np.searchsorted(CURVE_THRESHOLDS, score)] = voxels
    return counts


def _drawn_case(number: int, truth: np.random.Generator, luck: np.random.Generator, skill: float) -> CaseScore:
    sizes = [int(size) for size in truth.choice(SIZES, 0 if number % 3 == 2 else truth.integers(1, 3))]
    volume = sum(sizes)
    sure = luck.random(len(sizes)) ** (np.log(0.5) / np.log(1 - skill))  # over 0.5 with probability `skill`
    wrong = luck.random(luck.poisson(6 * (1 - skill)))
    true = tuple((size, bool(score > 0.5)) for size, score in zip(sizes, sure, strict=True))
    case = counted_case(f"case-{number:03d}", (0, 0, volume, 10**6), true, int((wrong > 0.5).sum()))
    positive, negative = luck.multinomial(volume, _mass(skill)), luck.multinomial(10**6, _mass(0.05))
    tp, fp = int(positive[101:].sum()), int(negative[101:].sum())  # the 101st of 200 thresholds is over 0.5
    return CaseScore(
        case.name, "abc"[number // 3 % 3], SPACING_MM, VoxelCounts(tp, fp, volume - tp, 10**6 - fp),
        VoxelHistograms(positive, negative), float(luck.gamma(4, 2)) if case.targets.tp else None, case.targets,
        tuple((int((sure > level).sum()), int((wrong > level).sum())) for level in FROC_THRESHOLDS),
    )  # fmt: skip


def _mass(lean: float) -> np.ndarray:
    edges = np.linspace(0.001, 0.999, len(CURVE_THRESHOLDS) + 1)
    mass = edges ** (2 * lean) if lean > 0.1 else np.exp(-edges / lean)
    return mass / mass.sum()
