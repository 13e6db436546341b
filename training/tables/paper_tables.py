"""The paper's tables 2 (voxel-wise), 3 (target-wise), 5 (by size) and S1 (side by side); case-wise; by institution."""

from collections.abc import Sequence

from training.metrics.case_score import FROC_THRESHOLDS, SIZE_LIMITS_MM, SIZE_NAMES
from training.metrics.intervals import RESAMPLES
from training.metrics.summary import FALSE_POSITIVES_PER_CASE, summarise
from training.results import RunResults
from training.tables.difference_table import difference_table
from training.tables.estimates import DatasetEstimates, at_institution
from training.tables.layout import DASH, Cell, Row, Table, figure_cells, text_row
from training.tables.mean_curves import mean_froc
from training.tables.measures import (
    BY_SIZE,
    CASE_WISE,
    DSC,
    FPS_PER_CASE,
    SIDE_BY_SIDE,
    TARGET_RECALL,
    TARGET_WISE,
    VOXEL_WISE,
    Measure,
    number_text,
)

AT_INSTITUTIONS = (DSC, TARGET_RECALL, FPS_PER_CASE, *CASE_WISE)
MADE = ("weights_sha256", "window_step", "precision")
"""What a results file tells of its making that has a column of its own."""

OVER = {
    "runs": "over training runs, whose mean is given, by Student's distribution",
    "cases": f"over cases, by {RESAMPLES} bootstrap resamples, of which those without a value are left out",
}
"""What the intervals of `ModelEstimates.over` are."""

BEST = "Bold: the best of the models of a data set."


def paper_tables(datasets: Sequence[DatasetEstimates]) -> list[Table]:
    """Every table of the report, in the paper's order; those that compare for data sets with two models or more."""
    several = [dataset for dataset in datasets if len(dataset.models) > 1]
    return [
        _by_model("Voxel-wise segmentation", VOXEL_WISE, datasets, "Layout of the paper's Table 2."),
        _by_model("Target-wise detection", TARGET_WISE, datasets, _TARGETS),
        _by_model("Case-wise diagnosis", CASE_WISE, datasets, "A case counts as positive where a target is predicted."),
        *(_by_size(dataset) for dataset in datasets),
        *(_ablation(dataset) for dataset in several),
        *(difference_table(dataset) for dataset in several),
        _by_institution(datasets),
        *(_froc(dataset) for dataset in datasets),
        _how_made(datasets),
    ]


_LIMITS = ", ".join(f"{fps:g}" for fps in FALSE_POSITIVES_PER_CASE)
_TARGETS = (
    "TPs, FPs and FNs: aneurysms found, predicted in vain, and missed, in all cases together. FROC score: mean of the "
    f"best recalls at no more than {_LIMITS} FPs per case, at the {len(FROC_THRESHOLDS)} thresholds from "
    f"{FROC_THRESHOLDS[-1]} down to {FROC_THRESHOLDS[0]} until one has more, 0 where the first has. Layout of the "
    "paper's Table 3, but for the FROC score."
)


def _by_model(title: str, measures: Sequence[Measure], datasets: Sequence[DatasetEstimates], caption: str) -> Table:
    """A row for each model of each data set."""
    rows: list[Row] = []
    for dataset in datasets:
        columns = [figure_cells(dataset.models, measure) for measure in measures]
        rows += [
            (Cell(dataset.dataset), Cell(model.model), *cells)
            for model, *cells in zip(dataset.models, *columns, strict=True)
        ]
    headings = ("Data set", "Model", *(measure.title for measure in measures))
    return Table(title, f"{caption} {_intervals(datasets)}", headings, 2, tuple(rows))


def _by_size(dataset: DatasetEstimates) -> Table:
    small, large = SIZE_LIMITS_MM
    counts = summarise(dataset.models[0].runs[0].scores).by_size
    rows = tuple(
        (Cell(size), Cell(str(counts[size].targets)), Cell(measure.title), *figure_cells(dataset.models, measure))
        for size in SIZE_NAMES
        for measure in BY_SIZE[size]
    )
    caption = (
        f"Classes by the diameter of the sphere of equal volume: under {small:g}, {small:g} to {large:g}, over "
        f"{large:g} mm. FPs per case: over the cases that have an aneurysm of this size. Layout of the paper's Table 5."
    )
    columns = ("Size", "Aneurysms", "Measure", *(model.model for model in dataset.models))
    title = f"Detection by size: {dataset.dataset}"
    return Table(title, f"{caption} {_intervals([dataset])}", columns, 3, rows)


def _ablation(dataset: DatasetEstimates) -> Table:
    rows = tuple(
        (Cell(kind), Cell(measure.title), *figure_cells(dataset.models, measure)) for kind, measure in SIDE_BY_SIDE
    )
    columns = ("", "Measure", *(model.model for model in dataset.models))
    caption = f"Layout of the paper's Table S1, but for the FROC score. {_intervals([dataset])}"
    return Table(f"Models side by side: {dataset.dataset}", caption, columns, 2, rows)


def _by_institution(datasets: Sequence[DatasetEstimates]) -> Table:
    rows: list[Row] = []
    for dataset in datasets:
        for institution in sorted({score.institution for score in dataset.models[0].runs[0].scores}):
            models = [at_institution(model, institution) for model in dataset.models]
            columns = [figure_cells(models, measure) for measure in AT_INSTITUTIONS]
            labels = [dataset.dataset, institution or "not named", str(len(models[0].runs[0].scores))]
            rows += [
                (*(Cell(label) for label in labels), Cell(model.model), *cells)
                for model, *cells in zip(models, *columns, strict=True)
            ]
    headings = ("Data set", "Institution", "Cases", "Model", *(measure.title for measure in AT_INSTITUTIONS))
    caption = f"The cases of each institution alone; recall is target-wise. {_intervals(datasets)}"
    return Table("By institution", caption, headings, 4, tuple(rows))


def _froc(dataset: DatasetEstimates) -> Table:
    """The free-response curve in figures."""
    curves = [mean_froc(model) for model in dataset.models]
    rows = tuple(
        (Cell(f"{points[0][0]:g}"), *(cell for _, recall, fps in points for cell in _froc_cells(recall, fps)))
        for points in zip(*curves, strict=True)
    )
    headings = [f"{model.model}: {name}" for model in dataset.models for name in ("recall, %", "FPs per case")]
    caption = (
        "Target-wise recall and false positives a case, by the threshold that a voxel's score must exceed (from 0.5 on "
        "the detection threshold, in runs that have one); the mean of several runs."
    )
    return Table(f"Free-response curve: {dataset.dataset}", caption, ("Threshold", *headings), 1, rows)


def _froc_cells(recall: float | None, fps: float) -> tuple[Cell, Cell]:
    undefined = Cell(DASH, note=f"Undefined: {TARGET_RECALL.undefined}.")
    found = undefined if recall is None else Cell(number_text(recall, "%"))
    return found, Cell(number_text(fps, "per case"))


def _how_made(datasets: Sequence[DatasetEstimates]) -> Table:
    """A row for each run."""
    rows = tuple(
        text_row((dataset.dataset, model.model, *_making(run)))
        for dataset in datasets
        for model in dataset.models
        for run in model.runs
    )
    made = ("Weights, SHA-256", "Window step", "Precision", "Other")
    columns = ("Data set", "Model", "Run", "Cases", "With aneurysm", *made)
    return Table("How each run was made", "As the results files tell it.", columns, 3, rows)


def _making(run: RunResults) -> list[object]:
    positive = sum(score.has_aneurysm for score in run.scores)
    made = [_words(run.made.get(key)) for key in MADE]
    other = "; ".join(f"{key}: {_words(value)}" for key, value in run.made.items() if key not in MADE)
    return [run.run, len(run.scores), positive, *made, other]


def _intervals(datasets: Sequence[DatasetEstimates]) -> str:
    """What the values in brackets are, and for which models."""
    said = []
    for kind, words in OVER.items():
        who = _models_over(kind, datasets)
        said += [f"{words}{who}"] if who is not None else []
    best = f" {BEST}" if any(len(dataset.models) > 1 for dataset in datasets) else ""
    return f"In brackets the 95 % confidence interval: {'; '.join(said)}.{best}"


def _models_over(kind: str, datasets: Sequence[DatasetEstimates]) -> str | None:
    """Which have intervals of this kind: "" for all, None for none; the data set is named where a model has both."""
    every = [(dataset.dataset, model.model, model.over) for dataset in datasets for model in dataset.models]
    own = [(dataset, model) for dataset, model, over in every if over == kind]
    others = {model for _, model, over in every if over != kind}
    names = dict.fromkeys(f"{model} on {dataset}" if model in others else model for dataset, model in own)
    if len(own) == len(every):
        return ""
    return f" ({', '.join(names)})" if own else None


def _words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items())
    return "" if value is None else str(value)
