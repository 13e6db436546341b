"""What the commands share: options, a bar of progress, the end after an error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.phantom import PhantomSettings

BAD_INPUT = 2

Count = Annotated[int, typer.Option(min=1, help="How many phantoms.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first; the others follow. From 900000 on: unseen.")]
Slices = Annotated[int, typer.Option(min=8, help="Slices.")]
Matrix = Annotated[int, typer.Option(min=8, help="Rows and columns.")]
SliceSpacing = Annotated[float, typer.Option(min=0.1, help="Distance of slices, mm.")]
InPlane = Annotated[float, typer.Option(min=0.1, help="Pixel spacing, mm.")]
Aneurysms = Annotated[str, typer.Option(help="Aneurysms in each phantom: a number, or a range such as 0-3.")]
Generator = Annotated[str, typer.Option(help="standard, or varied: over a wider range than reality.")]
Template = Annotated[
    Path | None, typer.Option(help="Averaged head CT in Cormack units as surroundings (varied alone).")
]
DetectionThreshold = Annotated[
    float | None,
    typer.Option(min=0.5, max=0.99, help="Take what the node shows: what is above 0.5 with enough of it above this."),
]
Trees = Annotated[Path | None, typer.Option(help="Folder of traced vessels, SWC (varied alone).")]
GENERATORS = ("standard", "varied")


def phantom_settings(
    slices: int, matrix: int, slice_spacing: float, in_plane: float, aneurysms: str
) -> PhantomSettings:
    """The options as settings; ends the command where they cannot be."""
    try:
        least, _, most = aneurysms.partition("-")
        numbers = int(least), int(most or least)
        return PhantomSettings((slices, matrix, matrix), (slice_spacing, in_plane, in_plane), numbers)
    except ValueError as problem:
        stop(f"the phantoms: {problem}")


def check_generator(generator: str, template: Path | None, trees: Path | None) -> None:
    """Ends the command where the options contradict each other."""
    if generator not in GENERATORS:
        stop(f"--generator: {generator!r} is none of {', '.join(GENERATORS)}")
    if (template or trees) and generator != "varied":
        stop("--template and --trees are for --generator varied")


@contextmanager
def bar(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A function (what is done, done, of) that moves a bar on the error stream."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


def stop(message: str) -> NoReturn:
    """Says what is wrong and ends the command with status 2."""
    print(f"glianet-training: {message}", file=sys.stderr)
    raise typer.Exit(BAD_INPUT)
