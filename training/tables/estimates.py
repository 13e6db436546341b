"""Figures with intervals of each model on each data set, from the results of its runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from training.metrics.bootstrap import bootstrap_figures
from training.metrics.intervals import Interval, over_runs
from training.metrics.named_figures import named_figures
from training.metrics.summary import summarise
from training.results import RunResults

SAME_IN_ALL_RUNS = {
    "detection_threshold": "detection threshold",
    "window_step": "window's step",
    "precision": "precision",
    "networks": "number of networks",
    "flips": "list of flips",
}
"""What `evaluate` tells of its settings, in words: trainings of one model are scored in one way."""


class ReportError(Exception):
    """No honest table can be made of these results; the text says which results and what to do."""


@dataclass(frozen=True, eq=False)
class ModelEstimates:
    """One model on one data set.

    figures: by the names of `named_figures`, None where undefined. over: what the intervals are over. left_out: in how
    many of the runs a figure that others have is undefined.
    """

    model: str
    runs: tuple[RunResults, ...]
    over: Literal["runs", "cases"]
    figures: dict[str, Interval | None]
    left_out: dict[str, int]


@dataclass(frozen=True, eq=False)
class DatasetEstimates:
    """All models that were scored on one data set, in the order in which they were given."""

    dataset: str
    models: tuple[ModelEstimates, ...]


def estimate_models(results: Sequence[RunResults]) -> tuple[DatasetEstimates, ...]:
    """Data sets and models in the order given. Student's interval over two runs or more, else bootstrap over cases.

    Raises ReportError where there are no results, where a run is there twice, or where those of one data set were not
    scored on the same cases with the same truth.
    """
    if not results:
        raise ReportError("there are no results to report; give the files that `score --output` wrote")
    grouped: dict[str, dict[str, list[RunResults]]] = {}
    for one in results:
        _check_cases(one)
        grouped.setdefault(one.dataset, {}).setdefault(one.model, []).append(one)
    for models in grouped.values():
        _check_runs([run for runs in models.values() for run in runs])
    return tuple(
        DatasetEstimates(dataset, tuple(estimate(runs) for runs in models.values()))
        for dataset, models in grouped.items()
    )


def estimate(runs: Sequence[RunResults]) -> ModelEstimates:
    """The figures of at least one run of one model on one data set."""
    if len(runs) == 1:
        return ModelEstimates(runs[0].model, tuple(runs), "cases", bootstrap_figures(runs[0].scores), {})
    each = [named_figures(summarise(run.scores)) for run in runs]
    known = {name: [one[name] for one in each if one[name] is not None] for name in each[0]}
    return ModelEstimates(
        model=runs[0].model,
        runs=tuple(runs),
        over="runs",
        figures={name: over_runs([v for v in values if v is not None]) if values else None
                 for name, values in known.items()},
        left_out={name: len(runs) - len(values) for name, values in known.items() if 0 < len(values) < len(runs)},
    )  # fmt: skip


def at_institution(model: ModelEstimates, institution: str) -> ModelEstimates:
    """The same of the cases of one institution alone."""
    return estimate(
        [
            replace(run, scores=tuple(score for score in run.scores if score.institution == institution))
            for run in model.runs
        ]
    )


def _check_cases(results: RunResults) -> None:
    if not results.scores:
        raise ReportError(f"{_name(results)}: it holds no case; score it again")
    names = [score.name for score in results.scores]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReportError(f"{_name(results)}: cases are there twice ({', '.join(twice[:10])}); score it again")


def _check_runs(results: Sequence[RunResults]) -> None:
    """results: of one data set."""
    first, seen, settings = results[0], set(), dict[tuple[str, str], object]()
    for one in results:
        for key, words in SAME_IN_ALL_RUNS.items():
            own = one.made.get(key)
            other_run = settings.setdefault((one.model, key), own)
            if other_run != own:
                raise ReportError(
                    f"{_name(one)}: its {words} is {own}, that of another run {other_run}; they are no runs of one "
                    "model: name the models apart with `evaluate --model`"
                )
        if (one.model, one.run) in seen:
            raise ReportError(
                f"{_name(one)}: two files hold this run; give it once, or name them apart: models with `evaluate "
                "--model`, trainings of one model with `--run`"
            )
        seen.add((one.model, one.run))
        other = sorted(_truth(one) ^ _truth(first))
        if other:
            raise ReportError(
                f"{_name(one)} and {_name(first)} were not scored on the same truth: they differ in "
                f"{', '.join(dict.fromkeys(name for name, *_ in other[:10]))}. "
                "Score both on the same cases, or give the data sets different names"
            )


def _truth(results: RunResults) -> set[tuple[str, str, int, int]]:
    """Each case with its institution, its true voxels and its voxels in all."""
    return {
        (s.name, s.institution, s.voxels.tp + s.voxels.fn, s.voxels.tp + s.voxels.fn + s.voxels.fp + s.voxels.tn)
        for s in results.scores
    }


def _name(results: RunResults) -> str:
    return f"{results.model} on {results.dataset}, run {results.run}"
