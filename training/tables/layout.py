"""A table before it becomes HTML or Markdown, and the cells of figures in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.tables.estimates import ModelEstimates
from training.tables.measures import Measure, interval_text

DASH = "–"
"""Stands where a figure is undefined; a footnote says why."""


@dataclass(frozen=True)
class Cell:
    """text; bold: as the table's caption says; note: a footnote, "" for none."""

    text: str
    bold: bool = False
    note: str = ""


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """columns: headings; labels: how many of the first columns name the row; rows: as long as columns."""

    title: str
    caption: str
    columns: tuple[str, ...]
    labels: int
    rows: tuple[Row, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The footnotes, each once, in the order of the cells."""
        return tuple(dict.fromkeys(cell.note for row in self.rows for cell in row if cell.note))

    def mark(self, cell: Cell) -> str:
        """The number of the cell's footnote, "" for none."""
        return str(self.notes.index(cell.note) + 1) if cell.note else ""


def text_row(values: Iterable[object]) -> Row:
    """Cells of plain text; a dash where there is none."""
    return tuple(Cell(str(value) if value not in (None, "") else DASH) for value in values)


def figure_cells(models: Sequence[ModelEstimates], measure: Measure) -> list[Cell]:
    """A cell for each model of one data set, the best one bold."""
    found = [model.figures[measure.name] for model in models]
    best = measure.best([interval.value if interval else None for interval in found])
    return [_cell(model, measure, bold) for model, bold in zip(models, best, strict=True)]


def _cell(model: ModelEstimates, measure: Measure, best: bool) -> Cell:
    interval = model.figures[measure.name]
    if interval is None:
        return Cell(DASH, note=f"Undefined: {measure.undefined}.")
    missing = model.left_out.get(measure.name)
    note = f"Undefined in {missing} of {len(model.runs)} runs, which are left out." if missing else ""
    if interval.low is None:
        note = note or "No interval: one value alone is known."
    return Cell(interval_text(interval, measure.unit), best, note)
