"""The command `glianet-training`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from training.phantom import PhantomSettings

BAD_INPUT = 2

app = typer.Typer(
    help="Phantoms, training and evaluation of GLIA-Net weights. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Count = Annotated[int, typer.Option(min=1, help="How many phantoms.")]
Seed = Annotated[
    int, typer.Option(min=0, help="Seed of the first; the others follow. From 900000 on: unseen.")
]
Slices = Annotated[int, typer.Option(min=8, help="Slices.")]
Matrix = Annotated[int, typer.Option(min=8, help="Rows and columns.")]
SliceSpacing = Annotated[float, typer.Option(min=0.1, help="Distance of slices, mm.")]
InPlane = Annotated[float, typer.Option(min=0.1, help="Pixel spacing, mm.")]
Aneurysms = Annotated[int, typer.Option(min=0, max=255, help="Aneurysms in each phantom.")]


@app.command()
def phantoms(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the cases.")],
    count: Count = 1,
    seed: Seed = 900_000,
    slices: Slices = 112,
    matrix: Matrix = 512,
    slice_spacing: SliceSpacing = 0.6,
    in_plane: InPlane = 0.45,
    aneurysms: Aneurysms = 3,
) -> None:
    """Write phantoms: a folder each with image.nii.gz, labels.nii.gz and truth.json."""
    from training.phantom import make_phantom
    from training.write_case import write_case

    settings = _settings(slices, matrix, slice_spacing, in_plane, aneurysms)
    with _progress() as progress:
        for number in progress.track(range(seed, seed + count), description="phantoms"):
            write_case(folder / f"phantom-{number:06d}", make_phantom(number, settings))
    typer.echo(f"{count} phantom{'s' * (count > 1)} in {folder}")


@app.command()
def train(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for checkpoint and log; resumes there.")
    ],
    steps: Annotated[int | None, typer.Option(min=1, help="Optimisation steps.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=79, help="Seed of weights, phantoms, patches.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Highest learning rate.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    large_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the steps from which patches are 96^3.")
    ] = None,
    bfloat16: Annotated[bool | None, typer.Option(help="Compute in bfloat16; slow where the CPU lacks it.")] = None,
    generator: Annotated[str | None, typer.Option(help="standard or varied phantoms.")] = None,
    initial_weights: Annotated[str | None, typer.Option(help="Weights to begin with, safetensors.")] = None,
) -> None:
    """Train from nothing, or go on where the last run in the folder stopped."""
    from training.settings import TrainingSettings
    from training.train import train as run_training

    given: dict[str, Any] = {"steps": steps, "seed": seed, "learning_rate": learning_rate, "threads": threads}
    given |= {"large_from": large_from, "bfloat16": bfloat16}
    given |= {"generator": generator, "initial_weights": initial_weights}
    chosen = {name: value for name, value in given.items() if value is not None}
    run_training(folder, replace(TrainingSettings(), **chosen))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a training.", exists=True, file_okay=False)],
    weights: Annotated[Path, typer.Argument(help="Safetensors file to write.")],
) -> None:
    """Write the weights of a training as the node loads them."""
    from training.export import export_weights

    export_weights(folder, weights)
    typer.echo(f"{weights}: {weights.stat().st_size} bytes")


@app.command()
def evaluate(
    weights: Annotated[Path, typer.Argument(help="Weights in safetensors format.")],
    count: Count = 4,
    seed: Seed = 900_000,
    slices: Slices = 112,
    matrix: Matrix = 512,
    slice_spacing: SliceSpacing = 0.6,
    in_plane: InPlane = 0.45,
    aneurysms: Aneurysms = 3,
    step: Annotated[int, typer.Option(min=1, max=96, help="Voxels that the window moves.")] = 48,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Find the aneurysms of phantoms and count: planted, found, false positives, dice."""
    from glianet.engine import EngineSettings
    from glianet.errors import GliaNetError
    from glianet.lesions import LesionSettings
    from glianet.load_model import load_model
    from glianet.model import ComputeSettings
    from training.evaluate import evaluate_phantoms
    from training.report import summarise, summary_table

    settings = _settings(slices, matrix, slice_spacing, in_plane, aneurysms)
    seeds, engine = range(seed, seed + count), EngineSettings(step, LesionSettings().threshold)
    try:
        model = load_model([weights], ComputeSettings(device)).model
        with _progress() as progress:
            task = progress.add_task("evaluating")

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            cases = []
            for case in evaluate_phantoms(model, seeds, settings, engine, advance):
                cases.append(case)
                progress.update(task, description=f"{len(cases)} of {count} phantoms done")
    except GliaNetError as problem:
        _stop(str(problem))
    summary = summarise(cases)
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
    else:
        Console().print(summary_table(summary))


def _settings(
    slices: int, matrix: int, slice_spacing: float, in_plane: float, aneurysms: int
) -> "PhantomSettings":
    from training.phantom import PhantomSettings

    return PhantomSettings(
        (slices, matrix, matrix), (slice_spacing, in_plane, in_plane), (aneurysms, aneurysms)
    )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _stop(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(BAD_INPUT)


if __name__ == "__main__":
    app()
