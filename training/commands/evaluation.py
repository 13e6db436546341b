"""`glianet-training evaluate` and `score`."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from glianet.errors import GliaNetError
from glianet.model import ComputeSettings
from training.commands.terminal import bar, stop
from training.manifest import CasesError
from training.metrics.case_score import CaseScore
from training.metrics.summary import Summary, summarise
from training.results import RunResults, save_results

RATES: tuple[tuple[str, str], ...] = (
    ("precision", "voxel precision"),
    ("recall", "voxel recall"),
    ("dsc", "voxel DSC"),
    ("hd95_mm", "95 % HD, mm"),
    ("auc", "AUC"),
    ("ap", "AP"),
    ("target_recall", "target recall"),
    ("fps_per_case", "false positives a case"),
    ("froc_score", "FROC score"),
    ("sensitivity", "case sensitivity"),
    ("specificity", "case specificity"),
    ("accuracy", "case accuracy"),
)


def collect(scores: Iterable[CaseScore]) -> tuple[CaseScore, ...]:
    """All of them; ends the command at the first case that cannot be used."""
    from training.state import StateError

    try:
        found = tuple(scores)
    except (CasesError, GliaNetError, StateError, ValueError, OSError) as problem:
        stop(str(problem))
    if not found:
        stop("there is no case with a label to score")
    return found


def how_scored(
    weights: Sequence[Path], sha256: str, window_step: int, compute: ComputeSettings, detection_threshold: float | None
) -> dict[str, Any]:
    """What a results file tells of its making; several networks, flips and detection threshold where there are such."""
    some = {
        "networks": len(weights) if len(weights) > 1 else None,
        "flips": list(compute.flips) or None,
        "detection_threshold": detection_threshold,
    }
    return {
        "weights": ", ".join(path.name for path in weights),
        "weights_sha256": sha256,
        "window_step": window_step,
        "precision": compute.precision,
        **{key: value for key, value in some.items() if value is not None},
    }


def show(
    scores: Sequence[CaseScore],
    *,
    as_json: bool,
    output: Path | None,
    model: str = "prediction",
    dataset: str = "",
    run: str = "1",
    made: dict[str, Any] | None = None,
) -> None:
    """Prints the figures of each case and of all, and keeps them as results where a file is named."""
    if output:
        save_results(output, RunResults(model, dataset, run, made or {}, tuple(scores)))
    if as_json:
        document = {"cases": [score.to_json() for score in scores], "all": summarise(scores).to_json()}
        typer.echo(json.dumps(document, indent=2))
        return
    console = Console()
    console.print(_case_table(scores))
    console.print(_summary_table(summarise(scores)))


def followed(scores: Iterator[CaseScore], total: int) -> Iterator[CaseScore]:
    """The same, with a bar that counts them."""
    with bar("scoring") as advance:
        for number, score in enumerate(scores, start=1):
            advance(score.name, number, total)
            yield score


def _case_table(scores: Sequence[CaseScore]) -> Table:
    table = Table("case", "aneurysms, mm", "found", "false positives", "DSC")
    for score in scores:
        case = score.to_json()
        sizes = " ".join(f"{target['diameter_mm']:.1f}" for target in case["targets"])
        found = f"{score.targets.tp} of {len(score.targets.true)}"
        table.add_row(score.name, sizes, found, str(score.targets.fp), _shown(case["dsc"]))
    return table


def _summary_table(summary: Summary) -> Table:
    values = summary.to_json()
    table = Table("all cases", str(summary.cases))
    for key, name in RATES:
        table.add_row(name, _shown(values[key]))
    for name, size in summary.by_size.items():
        table.add_row(f"recall of {name}", f"{_shown(size.recall)} ({size.found} of {size.targets})")
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
