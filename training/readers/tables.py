"""The tables of a reader study: the paper's Table 4 (levels), Table S2 (institutions) and the effect of assist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.metrics.intervals import Interval, over_runs
from training.readers.crossover import CROSSOVER, PAIRED, Comparison, compare_assist, find_groups
from training.readers.readings import LEVELS
from training.readers.scores import ScoredReading, reader_figures
from training.results import RunResults
from training.tables.estimates import ReportError, estimate_models
from training.tables.layout import DASH, Cell, Row, Table, figure_cells
from training.tables.measures import (
    ACCURACY,
    DSC,
    SENSITIVITY,
    SPECIFICITY,
    TARGET_PRECISION,
    TARGET_RECALL,
    Measure,
    interval_text,
)

SECONDS = Measure("seconds", "Time", "s", "low", "no time was taken")
NO_MASK = Measure("dsc", DSC.heading, "%", "high", "readings lack a mask, or nothing is true or marked")
TARGETS = (TARGET_PRECISION, TARGET_RECALL)
MEASURES = (SECONDS, NO_MASK, *TARGETS, SPECIFICITY, SENSITIVITY, ACCURACY)

P_DIGITS = 3

WHY_NONE = "Not to be computed: too few readers have the figure both ways, or all differences are alike."


@dataclass(frozen=True, eq=False)
class _Group:
    """Some of the readers: the figures of each of them, without and with assist."""

    name: str
    without: dict[str, dict[str, float | None]]
    with_assist: dict[str, dict[str, float | None]]

    def values(self, measure: Measure, assist: bool) -> dict[str, float | None]:
        """By reader."""
        figures = self.with_assist if assist else self.without
        return {reader: own[measure.name] for reader, own in figures.items()}


def reader_tables(scored: Sequence[ScoredReading], model: Sequence[RunResults] = ()) -> list[Table]:
    """Tables 4 and S2 and the effect of assist with its p values.

    model: runs of one model on the cases that were read, for the first row of Table 4. Raises ReportError where they
    are of other cases or of more than one model.
    """
    every = _group("All", scored)
    by_level = [
        _group(f"{level.capitalize()} radiologists", [one for one in scored if one.reading.level == level])
        for level in LEVELS
        if any(one.reading.level == level for one in scored)
    ]
    institutions = sorted({one.reading.institution for one in scored})
    by_institution = [
        _group(name or "not named", [one for one in scored if one.reading.institution == name]) for name in institutions
    ]
    groups = find_groups([one.reading for one in scored])
    return [
        _levels(by_level, every, groups, _model_row(model, scored), _counted(scored)),
        _effects([every, *by_level], groups),
        _table("By institution of the readers", "Layout of the paper's Table S2.", _rows(by_institution)),
    ]


def _group(name: str, scored: Sequence[ScoredReading]) -> _Group:
    return _Group(name, _figures(scored, False), _figures(scored, True))


def _figures(scored: Sequence[ScoredReading], assist: bool) -> dict[str, dict[str, float | None]]:
    own = [one for one in scored if one.reading.assist is assist]
    readers = sorted({one.reading.reader for one in own})
    return {reader: reader_figures([one for one in own if one.reading.reader == reader]) for reader in readers}


def _levels(
    by_level: list[_Group], every: _Group, groups: Mapping[str, int] | None, model: list[Row], counted: str
) -> Table:
    comparisons = [_compare(every, measure, groups) for measure in MEASURES]
    rows = [*model, *_rows([*by_level, every])]
    rows.append((Cell(every.name), Cell("p value"), Cell(""), *map(_p_cell, comparisons)))
    tested = f"p value: that of the t test ({_test(groups)}) on all readers, not adjusted for the number of figures."
    return _table("Readers without and with assist", f"Layout of the paper's Table 4. {counted} {tested}", rows)


def _table(title: str, caption: str, rows: Sequence[Row]) -> Table:
    intervals = (
        "Means over readers; in brackets the 95 % confidence interval over readers, by Student's distribution. "
        "Bold: the better of without and with assist. DSC is voxel-wise, precision and recall are target-wise, "
        "the others case-wise."
    )
    columns = ("Readers", "", "Number", *(measure.title for measure in MEASURES))
    return Table(title, f"{caption} {intervals}", columns, 3, tuple(rows))


def _rows(groups: Sequence[_Group]) -> list[Row]:
    rows: list[Row] = []
    for group in groups:
        columns = [_pair(group, measure) for measure in MEASURES]
        for number, (words, readers) in enumerate(
            (("without assist", group.without), ("with assist", group.with_assist))
        ):
            labels = (Cell(group.name), Cell(words), Cell(str(len(readers))))
            rows.append((*labels, *(column[number] for column in columns)))
    return rows


def _pair(group: _Group, measure: Measure) -> list[Cell]:
    """Without and with assist."""
    values = [list(group.values(measure, assist).values()) for assist in (False, True)]
    known = [[value for value in some if value is not None] for some in values]
    found = [over_runs(some) if some else None for some in known]
    best = measure.best([interval.value if interval else None for interval in found])
    missing = [len(every) - len(some) for every, some in zip(values, known, strict=True)]
    return [_cell(*parts, measure) for parts in zip(found, best, missing, strict=True)]


def _cell(interval: Interval | None, best: bool, missing: int, measure: Measure) -> Cell:
    if interval is None:
        return Cell(DASH, note=f"Undefined for every reader: {measure.undefined}.")
    note = f"Undefined for {missing} of the readers, who are left out: {measure.undefined}." if missing else ""
    if interval.low is None:
        note = f"{note} No interval: one reader alone.".strip()
    return Cell(interval_text(interval, measure.unit), best, note)


def _model_row(runs: Sequence[RunResults], scored: Sequence[ScoredReading]) -> list[Row]:
    if not runs:
        return []
    datasets = estimate_models(runs)
    if len(datasets) > 1 or len(datasets[0].models) > 1:
        raise ReportError("the model's row of the reader study needs runs of one model on one data set")
    (model,) = datasets[0].models
    read, run_on = {one.reading.case for one in scored}, {score.name for score in runs[0].scores}
    if read != run_on:
        other = ", ".join(sorted(read ^ run_on)[:10])
        raise ReportError(f"{model.model} was scored on other cases than were read: {other}. Score it on those")
    over = "training runs" if model.over == "runs" else "cases (bootstrap)"
    time = Cell(DASH, note=f"The model's time is not in its results. Its intervals are over {over}.")
    cells = [figure_cells([model], measure)[0] for measure in MEASURES[1:]]
    return [(Cell(model.model), Cell(""), Cell(DASH), time, *cells)]


def _effects(parts: Sequence[_Group], groups: Mapping[str, int] | None) -> Table:
    rows = []
    for part in parts:
        for measure in MEASURES:
            one = _compare(part, measure, groups)
            name = f"{measure.heading}, target-wise" if measure in TARGETS else measure.heading
            rows.append(
                (*(Cell(text) for text in (part.name, name, str(one.readers))), *_effect_cells(one, measure))
            )
    columns = ("Readers", "Figure", "Number", "With minus without (95 % CI)", "p (t test)", "p (rank test)")
    caption = f"{_test(groups)[0].upper()}{_test(groups)[1:]}. p values are not adjusted for the number of figures."
    return Table("Effect of assist", caption, columns, 3, tuple(rows))


def _compare(group: _Group, measure: Measure, groups: Mapping[str, int] | None) -> Comparison:
    return compare_assist(group.values(measure, False), group.values(measure, True), groups)


def _effect_cells(one: Comparison, measure: Measure) -> tuple[Cell, Cell, Cell]:
    share, unit = (100.0, " points") if measure.unit == "%" else (1.0, " s")
    if one.effect is None:
        effect = Cell(DASH, note=WHY_NONE)
    elif one.low is None or one.high is None:
        effect = Cell(f"{share * one.effect:+.1f}{unit}", note=WHY_NONE)
    else:
        limits = f"{share * one.low:+.1f} to {share * one.high:+.1f}"
        effect = Cell(f"{share * one.effect:+.1f}{unit} ({limits})")
    return effect, _p_cell(one), _p_cell(one, rank=True)


def _p_cell(one: Comparison, rank: bool = False) -> Cell:
    value = one.rank_p if rank else one.p
    if value is None:
        return Cell(DASH, note=WHY_NONE)
    least = 10**-P_DIGITS
    return Cell(f"{value:.{P_DIGITS}f}" if value >= least else f"<{least:g}")


def _test(groups: Mapping[str, int] | None) -> str:
    if groups is not None:
        return CROSSOVER
    return f"{PAIRED} (the readings are no crossover of two groups of readers and two sets of cases)"


def _counted(scored: Sequence[ScoredReading]) -> str:
    cases = {one.reading.case: bool(one.targets.true) for one in scored}
    timed = sum(one.reading.seconds is not None for one in scored)
    readers = len({one.reading.reader for one in scored})
    positive = sum(cases.values())
    read = f"{len(scored)} readings, of which {timed} were timed"
    return f"{readers} readers, {len(cases)} cases, {positive} of them with an aneurysm, {read}."
