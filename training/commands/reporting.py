"""`glianet-training report`, `readers`, `readings-from-audit` and `figures`."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.terminal import DetectionThreshold, bar, stop

Html = Annotated[Path | None, typer.Option(help="HTML file to write: one file, nothing from outside.")]
Markdown = Annotated[Path | None, typer.Option(help="Markdown file to write.")]


def report(
    results: Annotated[list[Path], typer.Argument(help="Results files of `evaluate` or `score`.")],
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Lay results of several models out as the paper's Tables 2, 3, 5 and S1, with curves."""
    from training.results import ResultsError, load_results
    from training.tables.estimates import ReportError
    from training.tables.write_report import write_report

    _something_to_write(html, markdown)
    try:
        write_report([load_results(path) for path in results], html, markdown)
    except (ResultsError, ReportError, OSError) as problem:
        stop(str(problem))
    _say_written(html, markdown)


def readers(
    readings: Annotated[Path, typer.Argument(help="CSV of readings; see docs/training.md.")],
    manifest: Annotated[Path, typer.Option(help="The cases that were read, with their labels.")],
    model: Annotated[
        list[Path] | None, typer.Option(help="Results of the model alone, for a row of its own; several are runs.")
    ] = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Lay a reader study out as the paper's Tables 4 and S2, with the crossover test."""
    from training.manifest import CasesError, read_manifest
    from training.readers.readings import ReadingsError, read_readings
    from training.readers.scores import score_readings
    from training.readers.write_report import write_reader_report
    from training.results import ResultsError, load_results
    from training.tables.estimates import ReportError

    _something_to_write(html, markdown)
    try:
        scored = score_readings(read_readings(readings), read_manifest(manifest))
        write_reader_report(scored, html, markdown, model=[load_results(path) for path in model or []])
    except (ReadingsError, CasesError, ReportError, ResultsError, OSError) as problem:
        stop(str(problem))
    _say_written(html, markdown)


def readings_from_audit(
    audit: Annotated[Path, typer.Argument(help="What `dicom-node audit export` wrote.")],
    corrected: Annotated[list[Path], typer.Argument(help="DICOM SEG files that radiologists corrected.")],
    series: Annotated[list[str], typer.Option(metavar="UID=CASE", help="Case of each series.")],
    output: Annotated[Path, typer.Option(help="CSV to write; seconds and level are to be filled in.")],
) -> None:
    """Draft the CSV of a reader study from the node's audit log and corrected SEGs."""
    from training.readers.from_audit import readings_from_audit as draft
    from training.readers.readings import ReadingsError, write_readings

    cases = dict(one.split("=", 1) for one in series if "=" in one)
    if len(cases) != len(series):
        stop("--series: each has the form SERIES_UID=CASE")
    try:
        write_readings(output, draft(audit, corrected, cases))
    except (ReadingsError, OSError) as problem:
        stop(str(problem))
    typer.echo(f"{output}: fill in level and seconds")


def figures(
    weights: Annotated[Path, typer.Argument(help="Weights of GLIA-Net in safetensors format.")],
    manifest: Annotated[Path, typer.Option(help="Cases to draw.")],
    output: Annotated[Path, typer.Option(help="Folder for segmentation.png, risk.png and failures.png.")],
    split: Annotated[str, typer.Option(help="Split of the manifest; empty for all.")] = "test",
    count: Annotated[int, typer.Option(min=1, help="The first so many cases.")] = 4,
    detection_threshold: DetectionThreshold = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Draw the paper's Figures 5 (segmentation in three planes) and 6 (risk with histograms), and what was wrong."""
    from glianet.errors import GliaNetError
    from glianet.load_model import load_model
    from glianet.model import ComputeSettings
    from training.evaluate_cases import manifest_cases
    from training.figures.draw_cases import draw_cases
    from training.manifest import CasesError, of_split, read_manifest

    try:
        listed = [case for case in of_split(read_manifest(manifest), split) if case.label][:count]
        if not listed:
            stop(f"{manifest}: no case of the split {split!r} has a label")
        model = load_model([weights], ComputeSettings(device)).model
        with bar("computing") as advance:
            chosen, total = manifest_cases(listed), len(listed)
            written = draw_cases(
                chosen, model, output, lambda name, n: advance(name, n, total), detection_threshold
            )
    except (CasesError, GliaNetError, ValueError, OSError) as problem:
        stop(str(problem))
    typer.echo("\n".join(str(path) for path in written))


def _something_to_write(html: Path | None, markdown: Path | None) -> None:
    if html is None and markdown is None:
        stop("name a file to write: --html FILE, --markdown FILE, or both")


def _say_written(html: Path | None, markdown: Path | None) -> None:
    for path in (html, markdown):
        if path:
            typer.echo(str(path))
