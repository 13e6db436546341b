"""How each model differs from the first, paired by case: what intervals that overlap do not tell."""

from training.metrics.bootstrap import bootstrap_differences
from training.metrics.intervals import RESAMPLES, Interval
from training.tables.estimates import DatasetEstimates
from training.tables.layout import DASH, Cell, Row, Table
from training.tables.measures import CASE_WISE, SIDE_BY_SIDE, Measure, difference_text

MEASURES = (
    *((kind, measure) for kind, measure in SIDE_BY_SIDE if measure.name != "hd95_mm"),
    *(("Case-wise", measure) for measure in CASE_WISE),
)
"""Without the 95 % HD: it is the mean over the cases in which a model predicts anything, other cases for each model."""


def difference_table(dataset: DatasetEstimates) -> Table:
    """A column for each model but the first, whose figures are taken from theirs. Needs two models."""
    first, *others = dataset.models
    reference = [run.scores for run in first.runs]
    found = [bootstrap_differences([run.scores for run in model.runs], reference) for model in others]
    rows: list[Row] = [
        (Cell(kind), Cell(measure.title), *(_cell(differences[measure.name], measure) for differences in found))
        for kind, measure in MEASURES
    ]
    caption = (
        f"Each figure less that of {first.model}, rates in percentage points; of several runs the mean. In brackets "
        f"the 95 % confidence interval by {RESAMPLES} bootstrap resamples of the cases, the same for both models, of "
        "which those without a value are left out. It is of the cases alone, taken as independent: what another "
        "training would give is not in it. Bold: it leaves out 0, for better or worse (the arrows tell which way is "
        "better); not corrected for the number of rows."
    )
    columns = ("", "Measure", *(model.model for model in others))
    return Table(f"Differences from {first.model}: {dataset.dataset}", caption, columns, 2, tuple(rows))


def _cell(difference: Interval | None, measure: Measure) -> Cell:
    if difference is None:
        return Cell(DASH, note=f"Undefined in at least one run: {measure.undefined}.")
    low, high = difference.low, difference.high
    if low is None or high is None:
        return Cell(difference_text(difference, measure.unit), note="No interval: one case alone is known.")
    return Cell(difference_text(difference, measure.unit), bold=low > 0 or high < 0)
