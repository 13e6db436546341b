"""Figures over several evaluated cases, as data and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from rich.table import Table

from training.evaluate import Evaluation


@dataclass(frozen=True)
class CaseRow:
    """One case: diameters (mm) of the planted aneurysms, dice of each (0: not found), false positives."""

    seed: int
    diameters_mm: tuple[float, ...]
    dice: tuple[float, ...]
    false_positives: int

    @property
    def found(self) -> int:
        """How many of the planted aneurysms share a voxel with a lesion."""
        return sum(value > 0 for value in self.dice)


@dataclass(frozen=True)
class Summary:
    """All cases. recall: found / planted. mean_dice_of_found: None where nothing was found."""

    cases: tuple[CaseRow, ...]
    planted: int
    found: int
    recall: float | None
    false_positives_per_case: float
    mean_dice_of_found: float | None


def summarise(evaluations: Sequence[Evaluation]) -> Summary:
    """Count over the cases; at least one."""
    rows = tuple(_row(evaluation) for evaluation in evaluations)
    planted, found = sum(len(row.dice) for row in rows), sum(row.found for row in rows)
    overlaps = [value for row in rows for value in row.dice if value > 0]
    return Summary(
        cases=rows,
        planted=planted,
        found=found,
        recall=found / planted if planted else None,
        false_positives_per_case=mean(row.false_positives for row in rows),
        mean_dice_of_found=mean(overlaps) if overlaps else None,
    )


def summary_table(summary: Summary) -> Table:
    """Planted, found, false positives and dice, a line for each case and one for all."""
    table = Table("seed", "diameters, mm", "planted", "found", "false positives", "dice", show_footer=True)
    for row in summary.cases:
        table.add_row(
            str(row.seed),
            " ".join(f"{value:.1f}" for value in row.diameters_mm),
            str(len(row.dice)),
            str(row.found),
            str(row.false_positives),
            " ".join(f"{value:.2f}" for value in row.dice),
        )
    dice = summary.mean_dice_of_found
    footers = (
        "all",
        "",
        str(summary.planted),
        str(summary.found),
        f"{summary.false_positives_per_case:.2f} a case",
        "" if dice is None else f"{dice:.2f} of those found",
    )
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = footer
    return table


def _row(evaluation: Evaluation) -> CaseRow:
    return CaseRow(
        evaluation.seed,
        tuple(detection.planted.diameter_mm for detection in evaluation.detections),
        tuple(detection.dice for detection in evaluation.detections),
        len(evaluation.false_positives),
    )
