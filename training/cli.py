"""The command `glianet-training`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from training.commands import cases, reporting
from training.commands.terminal import (
    Aneurysms,
    Count,
    DetectionThreshold,
    Generator,
    InPlane,
    Matrix,
    Seed,
    Slices,
    SliceSpacing,
    Template,
    Trees,
    bar,
    check_generator,
    phantom_settings,
    stop,
)

app = typer.Typer(
    help="Phantoms, training and evaluation of GLIA-Net weights. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Output = Annotated[Path | None, typer.Option(help="Results file to write, for `report`.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Literal["float32", "bfloat16"]


@app.command()
def phantoms(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the cases.")],
    count: Count = 1,
    seed: Seed = 900_000,
    slices: Slices = 112,
    matrix: Matrix = 512,
    slice_spacing: SliceSpacing = 0.6,
    in_plane: InPlane = 0.45,
    aneurysms: Aneurysms = "3",
    generator: Generator = "standard",
    template: Template = None,
    trees: Trees = None,
) -> None:
    """Write phantoms: a folder each with image.nii.gz, labels.nii.gz and truth.json, and manifest.csv for all."""
    from training.evaluate_cases import PhantomChoice, make_phantoms
    from training.write_case import write_cases

    check_generator(generator, template, trees)
    settings = phantom_settings(slices, matrix, slice_spacing, in_plane, aneurysms)
    choice = PhantomChoice(range(seed, seed + count), settings, generator, template, trees)
    try:
        with bar("phantoms") as advance:
            write_cases(folder, make_phantoms(choice), lambda done: advance("phantoms", done, count))
    except (ValueError, OSError) as problem:
        stop(str(problem))
    typer.echo(f"{count} phantom{'s' * (count > 1)} in {folder}")


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the training; resumes there.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file; see training/training.toml for every key.")] = None,
    preset: Annotated[str, typer.Option(help="Recipe of the package to begin with: see `presets`.")] = "",
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key, such as run.steps=1000.")
    ] = None,
) -> None:
    """Train from nothing, by default with the paper's recipe, or go on where the last run in the folder stopped.

    That goes on with its own recipe, and with what --set changes of it; another preset or file takes its place.
    """
    from training.run import run_training

    try:
        run_training(folder, recipe, preset, change or [])
    except Exception as problem:  # noqa: BLE001 (every error of a training is told in one line and keeps its trace)
        _stop_training(problem)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a training.", exists=True, file_okay=False)],
    weights: Annotated[Path, typer.Argument(help="Safetensors file to write.")],
    threshold: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="Probability that 0.5 shall stand for in what is written.")
    ] = 0.5,
) -> None:
    """Write the weights of a training as the node loads them."""
    from training.export import export_weights

    try:
        source = export_weights(folder, weights, threshold)
    except _problems() as problem:
        stop(str(problem))
    typer.echo(f"{weights}: {weights.stat().st_size} bytes, from {source.name}")


@app.command()
def evaluate(
    weights: Annotated[
        list[Path],
        typer.Argument(
            help="Weights (safetensors; several: the networks' mean), or best.pt or checkpoint.pt of a training."
        ),
    ],
    manifest: Annotated[Path | None, typer.Option(help="Cases to evaluate on, instead of phantoms.")] = None,
    split: Annotated[str, typer.Option(help="Split of the manifest; empty for all.")] = "test",
    count: Count = 4,
    seed: Seed = 900_000,
    slices: Slices = 112,
    matrix: Matrix = 512,
    slice_spacing: SliceSpacing = 0.6,
    in_plane: InPlane = 0.45,
    aneurysms: Aneurysms = "3",
    generator: Generator = "standard",
    template: Template = None,
    trees: Trees = None,
    step: Annotated[int, typer.Option(min=1, max=96, help="Voxels that the window moves.")] = 48,
    detection_threshold: DetectionThreshold = None,
    device: Device = "auto",
    precision: Annotated[Precision, typer.Option(help="What the network is computed in.")] = "float32",
    flip: Annotated[
        list[str] | None,
        typer.Option(
            help="Average with the mirror image: head-foot, front-back, left-right; may be given again, each doubles "
            "the time."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of the model in tables; empty: its network's.")] = "",
    run: Annotated[str, typer.Option(help="Which of several trainings of one model this is.")] = "1",
    dataset: Annotated[str, typer.Option(help="Name of the cases in tables.")] = "",
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Score weights on the cases of a manifest, or on phantoms: by voxel, by aneurysm, by case."""
    from glianet.model import ComputeSettings
    from training.commands.evaluation import collect, how_scored, show
    from training.evaluate_cases import PhantomChoice, evaluate_cases, manifest_cases, phantom_cases
    from training.manifest import of_split, read_manifest
    from training.scorer import load_scorer

    check_generator(generator, template, trees)
    settings = phantom_settings(slices, matrix, slice_spacing, in_plane, aneurysms)
    choice = PhantomChoice(range(seed, seed + count), settings, generator, template, trees)
    try:
        chosen = manifest_cases(of_split(read_manifest(manifest), split)) if manifest else phantom_cases(choice)
        compute = ComputeSettings(device, precision=precision, flips=tuple(flip or ()))
        scorer = load_scorer(weights, compute, step)
    except _problems() as problem:
        stop(str(problem))
    with bar("evaluating") as advance:
        scores = collect(evaluate_cases(chosen, scorer, advance, detection_threshold))
    named = dataset or (f"{manifest.stem}, {split or 'all'}" if manifest else f"{count} {generator} phantoms")
    made = how_scored(weights, scorer.sha256, step, compute, detection_threshold)
    show(scores, as_json=as_json, output=output, model=model or scorer.model, dataset=named, run=run, made=made)


@app.command()
def score(
    truth: Annotated[Path, typer.Option(help="Folder of NIfTI labels.", exists=True, file_okay=False)],
    prediction: Annotated[
        Path, typer.Option(help="Folder of NIfTI masks or probabilities, same names.", exists=True, file_okay=False)
    ],
    model: Annotated[str, typer.Option(help="Name of the model in tables.")] = "prediction",
    dataset: Annotated[str, typer.Option(help="Name of the cases in tables.")] = "",
    run: Annotated[str, typer.Option(help="Which of several trainings this is.")] = "1",
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Score predictions made elsewhere: each case, and all together."""
    from training.commands.evaluation import collect, followed, show
    from training.score_folders import count_cases, score_folders

    scores = collect(followed(score_folders(truth, prediction), count_cases(truth)))
    show(scores, as_json=as_json, output=output, model=model, dataset=dataset or truth.name, run=run)


app.add_typer(cases.app, name="cases")
app.command()(reporting.report)
app.command()(reporting.readers)
app.command()(reporting.readings_from_audit)
app.command()(reporting.figures)


@app.command()
def presets() -> None:
    """List the recipes that come with the package."""
    from training.load_recipe import PRESETS
    from training.load_recipe import presets as names

    for name in names():
        first = (PRESETS / f"{name}.toml").read_text().splitlines()[0].lstrip("# ")
        typer.echo(f"{name}: {first}")


def _problems() -> tuple[type[Exception], ...]:
    from glianet.errors import GliaNetError
    from training.load_recipe import RecipeError
    from training.manifest import CasesError
    from training.models.build_model import ModelError
    from training.precision import PrecisionError
    from training.state import StateError

    return GliaNetError, RecipeError, CasesError, ModelError, PrecisionError, StateError, OSError


def _stop_training(problem: Exception) -> Any:
    if isinstance(problem, _problems()):
        stop(str(problem))
    raise problem


if __name__ == "__main__":
    app()
