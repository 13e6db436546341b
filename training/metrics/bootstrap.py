"""Bootstrap intervals of all figures at once. Every count of a case adds up, so that a resample is a weighted sum.

    weights (R, N): how often resample r draws case n --.
                                                        +--> sums (R, K) --> figures (R,) --> quantiles
    counts (N, K): what is counted in case n -----------'
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.metrics.case_score import SIZE_NAMES, CaseScore
from training.metrics.intervals import BOOTSTRAP_SEED, LEVEL, RESAMPLES, Interval
from training.metrics.named_figures import fps_of_size, named_figures, recall_of_size
from training.metrics.summary import FALSE_POSITIVES_PER_CASE, summarise

Values = NDArray[np.float64]


def bootstrap_figures(scores: Sequence[CaseScore], resamples: int = RESAMPLES) -> dict[str, Interval | None]:
    """For each of `named_figures` what `over_cases` gives, with the same draws; at least one case.

    The limits are None where there is one case only: it tells nothing of others.
    """
    values = named_figures(summarise(scores))
    if len(scores) < 2:
        return {name: None if value is None else Interval(value, None, None) for name, value in values.items()}
    drawn = _figures_of_draws(scores, _weights(len(scores), resamples))
    return {name: _interval(value, drawn[name]) for name, value in values.items()}


def bootstrap_differences(
    model: Sequence[Sequence[CaseScore]], other: Sequence[Sequence[CaseScore]], resamples: int = RESAMPLES
) -> dict[str, Interval | None]:
    """For each of `named_figures` the model's less the other's, paired: both are drawn the same cases.

    model, other: the scores of each run, all of the same cases in any order; a model's figure is the mean of its runs'.
    None where it is undefined in a run. The limits are None where there is one case only.
    """
    values, against = _mean_figures(model), _mean_figures(other)
    known = {name: _less(values[name], against[name]) for name in values}
    cases = len(model[0])
    if cases < 2:
        return {name: None if value is None else Interval(value, None, None) for name, value in known.items()}
    weights = _weights(cases, resamples)
    drawn, drawn_against = _mean_of_draws(model, weights), _mean_of_draws(other, weights)
    return {name: _interval(value, drawn[name] - drawn_against[name]) for name, value in known.items()}


def _mean_figures(runs: Sequence[Sequence[CaseScore]]) -> dict[str, float | None]:
    each = [named_figures(summarise(scores)) for scores in runs]
    return {name: _mean([one[name] for one in each]) for name in each[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(values) if len(known) == len(values) else None


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _mean_of_draws(runs: Sequence[Sequence[CaseScore]], weights: Values) -> dict[str, Values]:
    """Each case has the same weights in every run and model: they are taken by name."""
    each = [_figures_of_draws(sorted(scores, key=lambda score: score.name), weights) for scores in runs]
    return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}


def _weights(cases: int, resamples: int) -> Values:
    """(R, N) how often each case is drawn; the draws of `over_cases`."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return np.array(
        [np.bincount(rng.integers(0, cases, cases), minlength=cases) for _ in range(resamples)], np.float64
    )


def _figures_of_draws(scores: Sequence[CaseScore], weights: Values) -> dict[str, Values]:
    """Each figure (R,) by its name; not a number where it is undefined."""
    rows = [_counts(score) for score in scores]
    sums = {name: weights @ np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    positive, negative = (
        weights @ np.array([getattr(score.histograms, kind) for score in scores], np.float64)
        for kind in ("positive", "negative")
    )
    figures = _rates(sums, weights.shape[1])
    figures |= {"auc": _roc_areas(positive, negative), "ap": _precision_recall_areas(positive, negative)}
    figures["froc_score"] = _froc_scores(scores, weights)
    for size in SIZE_NAMES:
        figures[recall_of_size(size)] = _share(sums[f"found {size}"], sums[f"targets {size}"])
        figures[fps_of_size(size)] = _share(sums[f"fps {size}"], sums[f"cases {size}"])
    return figures


def _counts(score: CaseScore) -> dict[str, float]:
    """What adds up over cases."""
    voxels, targets = score.voxels, score.targets
    counts = {
        "tp": voxels.tp, "fp": voxels.fp, "fn": voxels.fn,
        "distance": score.hd95_mm or 0.0, "distances": score.hd95_mm is not None,
        "target_tp": targets.tp, "target_fp": targets.fp, "target_fn": targets.fn,
        "predicted": len(targets.predicted), "right": sum(target.matched for target in targets.predicted),
        "positive": score.has_aneurysm, "found": score.has_aneurysm and score.found_positive,
        "negative": not score.has_aneurysm, "quiet": not score.has_aneurysm and not score.found_positive,
    }  # fmt: skip
    for number, size in enumerate(SIZE_NAMES):
        own = [target.matched for target, of in zip(targets.true, score.sizes, strict=True) if of == number]
        counts |= {f"targets {size}": len(own), f"found {size}": sum(own)}
        counts |= {f"cases {size}": bool(own), f"fps {size}": targets.fp if own else 0}
    return {name: float(count) for name, count in counts.items()}


def _rates(sums: Mapping[str, Values], cases: int) -> dict[str, Values]:
    tp, fp, fn = sums["tp"], sums["fp"], sums["fn"]
    return {
        "precision": _share(tp, tp + fp),
        "recall": _share(tp, tp + fn),
        "dsc": _share(2 * tp, 2 * tp + fp + fn),
        "hd95_mm": _share(sums["distance"], sums["distances"]),
        "target_tp": sums["target_tp"],
        "target_fp": sums["target_fp"],
        "target_fn": sums["target_fn"],
        "target_precision": _share(sums["right"], sums["predicted"]),
        "target_recall": _share(sums["target_tp"], sums["target_tp"] + sums["target_fn"]),
        "fps_per_case": sums["target_fp"] / cases,
        "sensitivity": _share(sums["found"], sums["positive"]),
        "specificity": _share(sums["quiet"], sums["negative"]),
        "accuracy": (sums["found"] + sums["quiet"]) / cases,
    }


def _froc_scores(scores: Sequence[CaseScore], weights: Values) -> Values:
    """(R,) as `froc_score`."""
    found, false = (weights @ np.array([[at[k] for at in score.froc] for score in scores], float) for k in (0, 1))
    targets = weights @ np.array([len(score.targets.true) for score in scores], np.float64)
    recall, fps = _share(found, targets[:, None]), false / weights.shape[1]
    within = [_followed(fps <= limit) for limit in FALSE_POSITIVES_PER_CASE]
    best = [np.where(reached, recall, 0.0).max(axis=1) for reached in within]
    return np.where(targets > 0, np.mean(best, axis=0), np.nan)


def _followed(few: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(R, T) whether a threshold and all that are higher have so few false positives."""
    return np.logical_and.accumulate(few[:, ::-1], axis=1)[:, ::-1]


def _roc_areas(positive: Values, negative: Values) -> Values:
    """(R,) as `roc_curve` of histograms (R, 201)."""
    x = _share(_above(negative), negative.sum(axis=1, keepdims=True))
    y = _share(_above(positive), positive.sum(axis=1, keepdims=True))
    return _areas(x, y, (1, 1), (0, 0))


def _precision_recall_areas(positive: Values, negative: Values) -> Values:
    """(R,) as `precision_recall_curve` of histograms (R, 201)."""
    tp, fp = _above(positive), _above(negative)
    precision = np.divide(tp, tp + fp, out=np.ones_like(tp), where=tp + fp > 0)
    return _areas(_share(tp, positive.sum(axis=1, keepdims=True)), precision, (1, 0), (0, 1))


def _above(histograms: Values) -> Values:
    """(R, 200) how many scores are above each threshold."""
    return histograms[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def _areas(x: Values, y: Values, first: tuple[float, float], last: tuple[float, float]) -> Values:
    ends = np.ones((len(x), 1))
    wide_x, wide_y = (np.hstack((first[k] * ends, line, last[k] * ends)) for k, line in enumerate((x, y)))
    return -np.trapezoid(wide_y, wide_x, axis=1)


def _share(part: Values, whole: Values) -> Values:
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _interval(value: float | None, drawn: Values) -> Interval | None:
    known = drawn[~np.isnan(drawn)]
    if value is None:
        return None
    if not len(known):
        return Interval(value, None, None)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
