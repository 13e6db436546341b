"""`glianet-training cases check | split | import`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.terminal import bar, stop
from training.manifest import CasesError, read_manifest, write_manifest

app = typer.Typer(help="Look at cases, divide them, bring them in from DICOM.", no_args_is_help=True)

Manifest = Annotated[Path, typer.Argument(help="CSV or TOML; see docs/training.md.")]


@app.command()
def check(
    manifest: Manifest,
    plots: Annotated[Path | None, typer.Option(help="PNG to draw sizes and ages into.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Read every image and label, tell all that is wrong, and print the paper's Table 1 for them."""
    from training.case_statistics import case_statistics
    from training.check_cases import check_cases

    try:
        with bar("reading") as advance:
            checked = check_cases(read_manifest(manifest), advance)
        if plots:
            from training.draw_statistics import draw_statistics

            draw_statistics(plots, checked)
    except (CasesError, OSError) as problem:
        stop(str(problem))
    statistics = case_statistics(checked)
    if as_json:
        typer.echo(json.dumps(statistics.to_json(), indent=2))
    else:
        Console().print(statistics.to_table())


@app.command()
def split(
    manifest: Manifest,
    output: Annotated[Path, typer.Option(help="Manifest to write, CSV.")],
    seed: Annotated[int, typer.Option(help="Who goes where follows from it and the patients' names.")] = 1,
    train: Annotated[float, typer.Option(help="Share of the patients.")] = 0.8,
    validation: Annotated[float, typer.Option(help="Share of the patients.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share of the patients.")] = 0.1,
    read: Annotated[
        bool, typer.Option("--read", help="Read the labels, and divide those with an aneurysm alike.")
    ] = False,
) -> None:
    """Divide the patients among training, validation and test, institution by institution."""
    from training.check_cases import check_cases
    from training.split_cases import split_cases

    shares = {"train": train, "validation": validation, "test": test}
    fractions = {name: share for name, share in shares.items() if share}
    try:
        cases = read_manifest(manifest)
        with bar("reading") as advance:
            checked = check_cases(cases, advance) if read else ()
        divided = split_cases(cases, seed=seed, fractions=fractions, checked=checked)
        write_manifest(output, divided)
    except (CasesError, OSError) as problem:
        stop(str(problem))
    counts = {name: sum(case.split == name for case in divided) for name in fractions}
    typer.echo(f"{output}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command("import")
def bring_in(
    folder: Annotated[Path, typer.Argument(help="Folder with a sub-folder for each CT series; it is only read.")],
    out: Annotated[Path, typer.Argument(help="Folder for the cases and manifest.csv.")],
    key: Annotated[Path, typer.Option(help="File with a secret: pseudonyms are made with it.")],
    institution: Annotated[str, typer.Option(help="Name of the institution in the manifest.")] = "",
    negative: Annotated[
        bool, typer.Option("--negative", help="A series without a segmentation is known to have no aneurysm.")
    ] = False,
    keep_dicom: Annotated[
        bool, typer.Option("--keep-dicom", help="Keep de-identified copies of the DICOM files (PS3.15 Basic Profile).")
    ] = False,
) -> None:
    """De-identified NIfTI cases from DICOM series and the segmentations drawn on them."""
    from training.import_folder import import_folder
    from training.pseudonyms import read_key

    try:
        with bar("importing") as advance:
            imported = import_folder(
                folder,
                out,
                institution=institution,
                key=read_key(key),
                negative=negative,
                keep_dicom=keep_dicom,
                progress=advance,
            )
    except (CasesError, OSError) as problem:
        stop(str(problem))
    typer.echo(f"{len(imported.cases)} cases imported, {len(imported.already)} were there: {out / 'manifest.csv'}")
    if imported.problems:
        stop("left out:\n" + "\n".join(f"- {problem}" for problem in imported.problems))
