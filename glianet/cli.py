"""The command `glianet`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from glianet import __version__
from glianet.allocator import keep_freed_memory
from glianet.errors import GliaNetError, OutOfMemory
from glianet.findings import NOTICE, Findings, findings_to_json
from glianet.weights_file import DEFAULT_WEIGHTS

BAD_INPUT = 2
FAILED = 1

app = typer.Typer(
    help="GLIA-Net: finds intracranial aneurysms in CT angiograms of the head. " + NOTICE,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glianet {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Runs before every command."""


@app.command()
def predict(
    image: Annotated[
        Path, typer.Argument(metavar="INPUT", help="NIfTI file, or folder with a DICOM series.")
    ],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    weights: Annotated[Path, typer.Option(help="Weights in safetensors format.")] = DEFAULT_WEIGHTS,
    step: Annotated[int, typer.Option(help="Voxels that the window moves, 1 to 96.")] = 48,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    exact: Annotated[bool, typer.Option("--exact", help="Compute patches of air too.")] = False,
    threshold: Annotated[float, typer.Option(help="Score above which a voxel is taken, 0 to 1.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find aneurysms in one image: mask, probability and risk as NIfTI, and findings.json."""
    from glianet.engine import EngineSettings  # torch takes seconds to import; --help must not
    from glianet.lesions import LesionSettings
    from glianet.predict import predict as predict_image

    keep_freed_memory()
    try:
        with _progress_bar() as advance:
            prediction = predict_image(
                image,
                folder,
                weights=weights,
                engine=EngineSettings(step=step, device=device, exact=exact),
                lesions=LesionSettings(threshold=threshold),
                progress=advance,
            )
    except GliaNetError as problem:
        _stop(str(problem), FAILED if isinstance(problem, OutOfMemory) else BAD_INPUT)
    except OSError as problem:
        _stop(f"{folder}: the results cannot be written ({problem})", FAILED)
    if as_json:
        typer.echo(findings_to_json(prediction.findings), nl=False)
    else:
        _print_findings(prediction.findings, prediction.files)


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar of patches on the error stream, so that --json has the other one to itself."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, description="Patches", completed=done, total=total)

        yield advance


def _stop(message: str, status: int) -> NoReturn:
    typer.echo(f"glianet: {message}", err=True)
    raise typer.Exit(status)


def _print_findings(findings: Findings, files: tuple[Path, ...]) -> None:
    console = Console()
    if findings.lesions:
        console.print(_lesion_table(findings))
    else:
        console.print(f"No aneurysm found at a score above {findings.threshold:g}.")
    for path in files:
        console.print(str(path), soft_wrap=True, highlight=False)
    console.print(NOTICE)


def _lesion_table(findings: Findings) -> Table:
    count = len(findings.lesions)
    table = Table(title=f"{count} aneurysm candidate{'s' if count > 1 else ''}")
    for heading in ("", "volume mm3", "diameter mm", "centre LPS mm", "score", "risk"):
        table.add_column(heading, justify="right")
    for lesion in findings.lesions:
        table.add_row(
            str(lesion.number),
            f"{lesion.volume_mm3:.1f}",
            f"{lesion.maximum_diameter_mm:.1f}",
            ", ".join(f"{coordinate:.1f}" for coordinate in lesion.centre_lps_mm),
            f"{lesion.maximum_score:.3f}",
            f"{lesion.risk:.3f}",
        )
    return table
