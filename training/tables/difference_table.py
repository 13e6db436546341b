"""How each model differs from the first, paired by case: what intervals that overlap do not tell."""

from training.metrics.bootstrap import bootstrap_differences
from training.metrics.intervals import RESAMPLES, Interval
from training.tables.estimates import DatasetEstimates
from training.tables.layout import DASH, Cell, Row, Table
from training.tables.measures import (
    CASE_WISE,
    FPS_PER_CASE,
    FROC_SCORE,
    TARGET_RECALL,
    VOXEL_WISE,
    Measure,
    difference_text,
)

MEASURES = (*VOXEL_WISE, TARGET_RECALL, FPS_PER_CASE, FROC_SCORE, *CASE_WISE)
KINDS = ("Voxel-wise",) * len(VOXEL_WISE) + ("Target-wise",) * 3 + ("Case-wise",) * len(CASE_WISE)


def difference_table(dataset: DatasetEstimates) -> Table:
    """A column for each model but the first, whose figures are taken from theirs. Needs two models."""
    first, *others = dataset.models
    reference = [run.scores for run in first.runs]
    found = [bootstrap_differences([run.scores for run in model.runs], reference) for model in others]
    rows: list[Row] = [
        (Cell(kind), Cell(measure.title), *(_cell(differences[measure.name], measure) for differences in found))
        for kind, measure in zip(KINDS, MEASURES, strict=True)
    ]
    caption = (
        f"Each figure less that of {first.model}, rates in percentage points. In brackets the 95 % confidence interval "
        f"by {RESAMPLES} bootstrap resamples of the cases, the same for both models; of several runs the mean. "
        "Bold: the interval leaves out 0."
    )
    columns = ("", "Measure", *(model.model for model in others))
    return Table(f"Differences from {first.model}: {dataset.dataset}", caption, columns, 2, tuple(rows))


def _cell(difference: Interval | None, measure: Measure) -> Cell:
    if difference is None:
        return Cell(DASH, note=f"Undefined in one of the two: {measure.undefined}.")
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Cell(difference_text(difference, measure.unit), note="No interval: one case alone is known.")
    return Cell(difference_text(difference, measure.unit), best=low > 0 or high < 0)
