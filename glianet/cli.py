"""The command `glianet`."""

import json
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
from glianet.errors import DeviceLost, GliaNetError, OutOfMemory
from glianet.findings import NOTICE, Findings, findings_to_json
from glianet.weights_file import DEFAULT_WEIGHTS, DETECTION_THRESHOLD, OUTLINE_THRESHOLD

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
    weights: Annotated[
        list[Path] | None,
        typer.Option(help="Weights in safetensors format; given several times, the networks' mean."),
    ] = None,
    step: Annotated[int, typer.Option(help="Voxels that the window moves, 1 to 96.")] = 48,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, torch or openvino.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    flip: Annotated[
        list[str] | None,
        typer.Option(
            help="Average with the mirror image: head-foot, front-back, left-right; each doubles the time."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Compute every patch: air, outside the head, and those that cannot change a finding."
        ),
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="Score above which a voxel belongs to a lesion, 0 to 1.")
    ] = OUTLINE_THRESHOLD,
    detection_threshold: Annotated[
        float | None,
        typer.Option(
            help="Score that enough of a lesion must exceed to be shown.",
            show_default=f"{DETECTION_THRESHOLD:g}, or the threshold where that is higher",
        ),
    ] = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Write the probability of every voxel of the head too.")
    ] = False,
    risk_map: Annotated[
        bool, typer.Option("--risk-map", help="Write the risk map, at 84 % overlap, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find aneurysms in one image: the mask as NIfTI, and findings.json."""
    from glianet.engine import EngineSettings  # torch takes seconds to import; --help must not
    from glianet.lesions import LesionSettings
    from glianet.model import ComputeSettings
    from glianet.predict import predict as predict_image
    from glianet.risk import RISK_MAP_OVERLAP

    keep_freed_memory()
    try:
        with _progress_bar() as advance:
            prediction = predict_image(
                image,
                folder,
                weights=weights or [DEFAULT_WEIGHTS],
                compute=ComputeSettings(device, backend, precision, flips=tuple(flip or ())),
                engine=EngineSettings(
                    step=step,
                    threshold=None if probability else threshold,
                    exact=exact,
                    risk_overlap=RISK_MAP_OVERLAP if risk_map else None,
                ),
                lesions=LesionSettings(
                    threshold,
                    max(threshold, DETECTION_THRESHOLD) if detection_threshold is None else detection_threshold,
                ),
                probability=probability,
                progress=advance,
            )
    except GliaNetError as problem:
        _stop(str(problem), FAILED if isinstance(problem, OutOfMemory | DeviceLost) else BAD_INPUT)
    except OSError as problem:
        _stop(f"{folder}: the results cannot be written ({problem})", FAILED)
    if as_json:
        typer.echo(findings_to_json(prediction.findings), nl=False)
    else:
        _print_findings(prediction.findings, prediction.files)


@app.command()
def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="FILE.pt", help="Checkpoint in the published format.")
    ],
    weights: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="Weights file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Turn a published checkpoint into weights for the node. Code in the checkpoint is never run."""
    from glianet.import_checkpoint import LICENCE_NOTICE
    from glianet.import_checkpoint import import_checkpoint as import_file

    try:
        imported = import_file(checkpoint, weights, overwrite=overwrite)
    except GliaNetError as problem:
        _stop(str(problem), BAD_INPUT)
    except OSError as problem:
        _stop(f"{weights}: the weights cannot be written ({problem})", FAILED)
    counters = "".join(f", {name} {value}" for name, value in imported.counters.items())
    typer.echo(f"Read {checkpoint} (SHA-256 {imported.source_sha256}{counters})")
    typer.echo(f"Wrote {weights} (SHA-256 {imported.target_sha256})")
    typer.echo(LICENCE_NOTICE)
    typer.echo("To use them, put this line into config.toml, under [model]:")
    typer.echo(f"weights = {json.dumps([str(weights.absolute())], ensure_ascii=False)}")


@app.command()
def benchmark(
    image: Annotated[
        Path | None, typer.Option(help="NIfTI file or DICOM folder, instead of a head made by a formula.")
    ] = None,
    slices: Annotated[int, typer.Option(help="Slices of the head that is made.")] = 112,
    size: Annotated[int, typer.Option(help="Rows and columns of the head that is made.")] = 512,
    weights: Annotated[Path, typer.Option(help="Weights in safetensors format.")] = DEFAULT_WEIGHTS,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of the CPU; 0 for as many as PyTorch takes.")] = 0,
    step: Annotated[int, typer.Option(help="Voxels that the window moves, 1 to 96.")] = 48,
    patches: Annotated[int, typer.Option(help="Patches timed for each way to compute.")] = 8,
    skip_volume: Annotated[bool, typer.Option("--skip-volume", help="Time single patches only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time every backend and precision on this machine, against the published code's way."""
    from glianet.benchmark.made_head import make_head
    from glianet.benchmark.run import BenchmarkSettings, run_benchmark
    from glianet.benchmark.table import draw_report
    from glianet.predict import read_image

    try:
        settings = BenchmarkSettings(device, threads, step, patches, not skip_volume, weights)
        volume = read_image(image)[0] if image else make_head(slices, size)
        with _status() as say:
            report = run_benchmark(volume, settings, say)
    except GliaNetError as problem:
        _stop(str(problem), BAD_INPUT)
    except OSError as problem:
        _stop(f"the processes that measure cannot be given the volume ({problem})", FAILED)
    if as_json:
        typer.echo(report.to_json(), nl=False)
    else:
        Console().print(*draw_report(report), sep="\n")


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """What is being done, on the error stream where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("Starting") as status:
        yield lambda text: status.update(f"Measuring: {text}")


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
        console.print(f"No aneurysm found at a score above {findings.detection_threshold:g}.")
    for path in files:
        console.print(str(path), soft_wrap=True, highlight=False)
    console.print(
        f"{findings.computation}; patches computed: {findings.patches_computed}, left out: {findings.patches_skipped}; "
        f"weights SHA-256 {findings.weights_sha256}",
        soft_wrap=True,
        highlight=False,
    )
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
