"""The report as tables to read."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from glianet.benchmark.machine import Machine
from glianet.benchmark.report import Report, Row, VolumeRow
from glianet.benchmark.request import WAY

PATCH_HEADINGS = ("", "s", "per s", "ratio", "GFLOP/s", "matmul", "diff.", "MB")
VOLUME_HEADINGS = ("", "s", "ratio", "patches", "lesions", "findings", "diff.")
LONGEST_PLAIN_LABEL = len("openvino bfloat16")

NOTES = (
    "yardstick: the published code's way, the whole network with its global branch for every patch, plain float32.",
    "reference: GLIANet.segment in float32 torch, global branch once; its volume is computed with every patch.",
    "ratio: times faster than the yardstick. matmul: share of the matrix product's rate at the same precision.",
    "diff.: largest difference from the reference, in probability or in a lesion's score. MB: peak, without libraries.",
)


def draw_report(report: Report) -> Iterator[RenderableType]:
    """The machine, a table of patches, a table of volumes where they were measured, and what remains to be said."""
    yield _lines(_machine(report))
    yield _patch_table(report)
    if any(row.volume for row in report.rows):
        yield _volume_table(report)
    yield _lines(_notes(report))


def _machine(report: Report) -> Iterator[str]:
    machine = report.machine
    flags = ", ".join(machine.flags) or "none of the vector instructions that matter"
    yield f"{machine.processor}, {machine.threads} threads on {machine.cores} cores ({flags}){_memory(machine)}"
    if machine.gpu:
        yield machine.gpu
    libraries = f"OpenVINO {machine.openvino}" if machine.openvino else "no OpenVINO"
    yield f"device {report.device}, torch {machine.torch}, {libraries}, Python {machine.python}, {machine.system}"
    rates = (f"{rate:.0f} in {precision}" for precision, rate in report.matrix_gflop_per_second.items())
    yield f"load before it began: {machine.load:g} (what else runs makes every figure worse)"
    yield f"matrix product, GFLOP/s: {', '.join(rates) or 'it failed'}"
    shape, spacing = (
        " x ".join(f"{value:g}" for value in values) for values in (report.shape, report.spacing_mm)
    )
    yield f"volume: {shape} voxels of {spacing} mm, step {report.step}"


def _memory(machine: Machine) -> str:
    return f", {machine.memory_bytes / 1e9:.0f} GB" if machine.memory_bytes else ""


def _patch_table(report: Report) -> Table:
    table = _table(f"One patch (median of {report.patches_timed})", PATCH_HEADINGS)
    for row in report.rows:
        table.add_row(row.label, *(_patch_cells(row) if not row.problem else ["failed"]))
    return table


def _patch_cells(row: Row) -> Iterator[str]:
    yield _number(row.seconds_per_patch, ".4g")
    yield _number(row.patches_per_second, ".3g")
    yield _number(row.ratio_to_yardstick, ".2f")
    yield _number(row.gflop_per_second, ".1f")
    yield _number(row.share_of_matrix_product, ".0%")
    yield _number(row.largest_difference, ".1e")
    yield _number(row.peak_bytes / 1e6 if row.peak_bytes else None, ".0f")


def _volume_table(report: Report) -> Table:
    table = _table("Whole volume, the findings against the reference's", VOLUME_HEADINGS)
    for row in report.rows:
        if row.volume:
            table.add_row(row.label, *_volume_cells(row.volume))
        elif row.problem:
            table.add_row(row.label, "failed")
    return table


def _volume_cells(volume: VolumeRow) -> Iterator[str]:
    yield f"{volume.seconds:.1f}{' *' if volume.extrapolated else ''}"
    yield _number(volume.ratio_to_yardstick, ".2f")
    yield f"{volume.patches_computed} of {volume.patches}"
    yield _number(volume.lesions, "d")
    yield _findings(volume)
    yield _number(volume.largest_score_difference, ".1e")


def _findings(volume: VolumeRow) -> str:
    if volume.findings_equal is None:
        return "-"
    plural = "" if volume.voxels_that_differ == 1 else "s"
    return "equal" if volume.findings_equal else f"{volume.voxels_that_differ} voxel{plural} off"


def _notes(report: Report) -> Iterator[str]:
    yield from NOTES
    if any(row.volume and row.volume.extrapolated for row in report.rows):
        yield "* extrapolated: seconds per patch times all positions of the window."
    yield from _costs(report.rows)
    yield from (f"{row.label} failed: {row.problem}" for row in report.rows if row.problem)


def _costs(rows: tuple[Row, ...]) -> Iterator[str]:
    """How many times the time of the same way flips and a second network take."""
    plain = {(row.backend, row.precision): row for row in rows if row.kind == WAY and _is_plain(row)}
    for row in rows:
        same = plain.get((row.backend, row.precision))
        if not _is_plain(row) and same and same.seconds_per_patch and row.seconds_per_patch:
            yield f"{row.label}: {row.seconds_per_patch / same.seconds_per_patch:.2f} times {same.label}."


def _is_plain(row: Row) -> bool:
    return not row.flips and row.networks == 1


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column(headings[0], min_width=LONGEST_PLAIN_LABEL)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _lines(lines: Iterator[str]) -> Text:
    return Text("\n".join(lines))
