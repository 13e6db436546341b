"""Every way to compute one volume, in turn, each in a process of its own."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glianet.benchmark.machine import describe_machine
from glianet.benchmark.report import Report, Row, make_row
from glianet.benchmark.request import MATRIX, REFERENCE, WAY, YARDSTICK, Measured, Request, VolumeTime
from glianet.checkpoint import load_network
from glianet.device import choose_device
from glianet.engine import EngineSettings
from glianet.errors import SettingsError
from glianet.head import BLOCK, find_head
from glianet.model import ways_to_compute
from glianet.tiling import PATCH_SIZE, pad_to_patch
from glianet.volume import Volume
from glianet.weights_file import DEFAULT_WEIGHTS
from glianet.window_grid import Index, WindowGrid, window_grid

FLIP = "left-right"
"""Axis of the row with test-time flips."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkSettings:
    """device, threads, step: as in ComputeSettings and EngineSettings. patches: how many are timed in each row.

    whole_volume: whether the volume is timed too, which takes minutes for each row.
    """

    device: str = "cpu"
    threads: int = 0
    step: int = 48
    patches: int = 8
    whole_volume: bool = True
    weights: Path = DEFAULT_WEIGHTS

    def __post_init__(self) -> None:
        for name, smallest in (("patches", 1), ("threads", 0)):
            if getattr(self, name) < smallest:
                raise SettingsError(what=f"{getattr(self, name)} is less than {smallest}", where=name)


def run_benchmark(volume: Volume, settings: BenchmarkSettings, say: Say = lambda text: None) -> Report:
    """Measures the yardstick, the reference, every way that there is, and what flips and a second network cost.

    `say` is told what is being measured. A row that fails has its reason; the others go on. Raises GliaNetError for
    settings or weights that no row could use.
    """
    device = choose_device(settings.device)
    grid = window_grid(pad_to_patch(volume.hu)[0].shape, EngineSettings(step=settings.step).step)
    load_network(settings.weights)
    machine = describe_machine(device, settings.threads)
    with tempfile.TemporaryDirectory(prefix="glianet-benchmark-") as folder:
        request = _first_request(folder, device, grid, volume, settings)
        rates = _measure(replace(request, kind=MATRIX), say)
        rows = tuple(_rows(request, device, int(np.prod(grid.patches)), rates, say))
    return Report(
        machine=machine,
        device=str(device),
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        step=settings.step,
        patches_timed=len(request.starts),
        matrix_gflop_per_second=_rates(rates),
        rows=rows,
    )


def _first_request(
    folder: str, device: torch.device, grid: WindowGrid, volume: Volume, settings: BenchmarkSettings
) -> Request:
    request = Request(
        kind=REFERENCE,
        folder=folder,
        device=str(device),
        threads=settings.threads,
        weights=str(settings.weights.absolute()),
        step=settings.step,
        starts=_chosen_starts(volume, grid, settings.patches),
        whole_volume=settings.whole_volume,
    )
    np.save(request.volume_file, volume.hu)
    np.save(request.affine_file, volume.affine)
    return request


def _chosen_starts(volume: Volume, grid: WindowGrid, count: int) -> tuple[Index, ...]:
    """First voxels of the patches nearest to the middle of the head.

    They have to hold arteries and aneurysms: where every way says 0, no difference in probability can be seen.
    """
    head = find_head(pad_to_patch(volume.hu)[0])
    inside = np.argwhere(head if head.any() else np.ones_like(head))
    middle = inside.mean(axis=0) * BLOCK - PATCH_SIZE / 2
    starts = sorted(map(grid.start, grid), key=lambda start: float(np.linalg.norm(start - middle)))
    return tuple(starts[:count])


Answer = Measured | str
"""What a row's process answers, or why it does not."""


def _rows(request: Request, device: torch.device, patches: int, rates: Answer, say: Say) -> Iterator[Row]:
    """The yardstick's first, although the reference is measured first: the others are compared with it."""
    measured_reference = _measure(request, say)
    yardstick = replace(request, kind=YARDSTICK, whole_volume=False)
    measured_yardstick = _measure(yardstick, say)
    if request.whole_volume:
        measured_yardstick = _extrapolated(measured_yardstick, patches)

    def row(asked: Request, answer: Answer) -> Row:
        return make_row(asked, answer, measured_yardstick, _rates(rates))

    yield row(yardstick, measured_yardstick)
    yield row(request, measured_reference)
    ways = []
    for backend, precision in ways_to_compute(device):
        way = replace(request, kind=WAY, backend=backend, precision=precision)
        ways.append((way, _measure(way, say)))
        yield row(*ways[-1])
    for variant in _variants(ways):
        yield row(variant, _measure(variant, say))


def _rates(answer: Answer) -> dict[str, float]:
    return (answer.gflop_per_second or {}) if isinstance(answer, Measured) else {}


def _extrapolated(answer: Answer, patches: int) -> Answer:
    """The yardstick's whole volume is not waited for: it is as many times one patch as there are positions."""
    if isinstance(answer, str):
        return answer
    seconds = statistics.median(answer.seconds) * patches
    return replace(answer, volume=VolumeTime(seconds, patches, patches, lesions=None))


def _variants(ways: Sequence[tuple[Request, Answer]]) -> list[Request]:
    """The fastest way in float32 with one flip, and with two networks; single patches only."""
    times = [
        (statistics.median(answer.seconds), number)
        for number, (way, answer) in enumerate(ways)
        if isinstance(answer, Measured) and way.precision == "float32"
    ]
    if not times:
        return []
    fastest = replace(ways[min(times)[1]][0], whole_volume=False)
    return [replace(fastest, flips=(FLIP,)), replace(fastest, networks=2)]


def _measure(request: Request, say: Say) -> Answer:
    """In a fresh process."""
    say(request.label)
    done = subprocess.run(
        [sys.executable, "-m", "glianet.benchmark.measure"],
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["nothing on its error stream"])[-1]
        return f"its process ended with status {done.returncode}: {last}"
    return str(answer["problem"]) if "problem" in answer else _from_json(answer)


def _from_json(answer: dict[str, Any]) -> Measured:
    volume = answer.pop("volume")
    return Measured(**answer, volume=VolumeTime(**volume) if volume else None)
