"""What the benchmark has measured, put in relation to the yardstick and to the machine."""

import json
import statistics
from dataclasses import asdict, dataclass, replace
from functools import cache

from glianet.benchmark.machine import Machine
from glianet.benchmark.request import REFERENCE, WAY, YARDSTICK, Measured, Request
from glianet.benchmark.work import gflop_per_patch

FORMAT = "glianet-benchmark-1"
ARRANGEMENTS = {YARDSTICK: "yardstick", REFERENCE: "network", WAY: "folded"}
"""How the arithmetic of a patch is arranged in each kind of row."""


@dataclass(frozen=True)
class VolumeRow:
    """A whole volume. extrapolated: one patch's seconds times the number of positions. Others as in VolumeTime."""

    seconds: float
    extrapolated: bool
    ratio_to_yardstick: float | None
    patches_computed: int
    patches: int
    lesions: int | None
    findings_equal: bool | None
    voxels_that_differ: int | None
    largest_score_difference: float | None


@dataclass(frozen=True)
class Row:
    """One way to compute. Where `problem` says why it failed, the figures are None.

    ratio_to_yardstick: how many times faster. share_of_matrix_product: of the rate of the same precision; None where
    that was not measured. Differences: from the reference; None where a row computes something else by intent.
    """

    label: str
    kind: str
    backend: str
    precision: str
    flips: tuple[str, ...]
    networks: int
    problem: str = ""
    seconds_per_patch: float | None = None
    patches_per_second: float | None = None
    ratio_to_yardstick: float | None = None
    gflop_per_patch: float | None = None
    gflop_per_second: float | None = None
    share_of_matrix_product: float | None = None
    largest_difference: float | None = None
    peak_bytes: int | None = None
    volume: VolumeRow | None = None


@dataclass(frozen=True)
class Report:
    """shape: (D, H, W) of the volume. matrix_gflop_per_second: by precision. rows: the yardstick's first."""

    machine: Machine
    device: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    step: int
    patches_timed: int
    matrix_gflop_per_second: dict[str, float]
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """One document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, allow_nan=False) + "\n"


def make_row(
    request: Request, answer: Measured | str, yardstick: Measured | str, rates: dict[str, float]
) -> Row:
    """rates: 10^9 multiplications and additions a second of a matrix product, by precision."""
    row = Row(
        label=request.label,
        kind=request.kind,
        backend=request.backend,
        precision=request.precision,
        flips=tuple(request.flips),
        networks=request.networks,
    )
    if isinstance(answer, str):
        return replace(row, problem=answer)
    seconds = statistics.median(answer.seconds)
    times = 2 ** len(request.flips) * request.networks
    gflop = times * _gflop(request.kind)
    rate = rates.get(request.precision)
    return replace(
        row,
        seconds_per_patch=seconds,
        patches_per_second=1 / seconds,
        ratio_to_yardstick=statistics.median(yardstick.seconds) / seconds
        if isinstance(yardstick, Measured)
        else None,
        gflop_per_patch=gflop,
        gflop_per_second=gflop / seconds,
        share_of_matrix_product=gflop / seconds / rate if rate else None,
        largest_difference=None if request.flips else answer.largest_difference,
        peak_bytes=answer.peak_bytes,
        volume=_volume_row(answer, yardstick, extrapolated=request.kind == YARDSTICK),
    )


@cache
def _gflop(kind: str) -> float:
    return gflop_per_patch(ARRANGEMENTS[kind])


def _volume_row(answer: Measured, yardstick: Measured | str, *, extrapolated: bool) -> VolumeRow | None:
    if answer.volume is None:
        return None
    whole = yardstick.volume if isinstance(yardstick, Measured) else None
    ratio = whole.seconds / answer.volume.seconds if whole else None
    return VolumeRow(extrapolated=extrapolated, ratio_to_yardstick=ratio, **asdict(answer.volume))
