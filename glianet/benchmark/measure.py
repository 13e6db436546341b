"""Measures one row, in a process of its own: `python -m glianet.benchmark.measure`, JSON in and out.

A fresh process has no memory of the rows before it: neither in its peak nor in what its allocator keeps.
"""

import json
import statistics
import sys
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from glianet.allocator import keep_freed_memory
from glianet.benchmark.memory import peak_bytes, resident_bytes
from glianet.benchmark.patches import Evaluate, Patches, by_model, by_yardstick, read_clock, time_patches
from glianet.benchmark.request import MATRIX, REFERENCE, YARDSTICK, Measured, Request, VolumeTime
from glianet.checkpoint import load_network
from glianet.device import choose_device, float32_convolutions
from glianet.engine import EngineSettings, score_volume
from glianet.errors import GliaNetError
from glianet.findings import Findings, Lesion, load_findings, save_findings
from glianet.lesions import LesionSettings, find_lesions
from glianet.model import ComputeSettings, Member, Model, prepare_model
from glianet.segmenters import DTYPES, PlainSegmenter, torch_precisions
from glianet.volume import Volume

MATRIX_SIZE = {"cpu": 2048, "cuda": 4096}
"""Large enough that the time is that of the arithmetic."""
WARM_UP = 512
REPETITIONS = 3
THRESHOLD = LesionSettings().threshold


def measure(request: Request) -> Measured:
    """Raises GliaNetError, RuntimeError or MemoryError where it cannot be computed that way."""
    device = choose_device(request.device)
    if request.threads:
        torch.set_num_threads(request.threads)
    if request.kind == MATRIX:
        return Measured(gflop_per_second=_matrix_rates(device))
    if request.kind != YARDSTICK:
        keep_freed_memory()
    if request.backend == "openvino":
        import_module("openvino")
    meter = _Meter(device)
    run = _measure_yardstick if request.kind == YARDSTICK else _measure_model
    with (
        torch.inference_mode(),
        float32_convolutions(),
    ):
        return run(request, device, meter)


class _Meter:
    """The highest memory from now on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = resident_bytes()

    def start(self) -> None:
        """On CUDA: once the model is there, and what proved it is gone."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """Bytes; on CUDA those of the device."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return max(0, peak_bytes() - self._before)


def _matrix_rates(device: torch.device) -> dict[str, float]:
    """10^9 multiplications and additions a second of a product of matrices of MATRIX_SIZE^2, by precision."""
    rates, size = {}, MATRIX_SIZE[device.type]
    for precision in torch_precisions(device):
        matrix = torch.rand(size, size).to(device, DTYPES[precision])
        matrix[:WARM_UP] @ matrix
        seconds = []
        for _ in range(REPETITIONS):
            started = read_clock(device)
            matrix @ matrix
            seconds.append(read_clock(device) - started)
        rates[precision] = 2 * size**3 / statistics.median(seconds) / 1e9
    return rates


def _measure_yardstick(request: Request, device: torch.device, meter: _Meter) -> Measured:
    patches = Patches(np.load(request.volume_file), request.starts, device)
    network = load_network(Path(request.weights)).network
    measured = _measure_patches(by_yardstick(network, patches), patches, request, batch_size=1)
    return replace(measured, peak_bytes=meter.peak())


def _measure_model(request: Request, device: torch.device, meter: _Meter) -> Measured:
    volume = Volume(np.load(request.volume_file), np.load(request.affine_file))
    model = _model(request, device)
    meter.start()
    patches = Patches(volume.hu, request.starts, device)
    measured = _measure_patches(by_model(model, patches), patches, request, model.batch_size)
    if not request.whole_volume:
        return replace(measured, peak_bytes=meter.peak())
    timed, findings = _time_volume(volume, model, request)
    measured = replace(measured, peak_bytes=meter.peak())
    if request.kind == REFERENCE:
        save_findings(findings, request.findings_file)
    expected = load_findings(request.findings_file) if request.findings_file.exists() else None
    return replace(measured, volume=_compared(timed, findings, expected) if expected else timed)


def _model(request: Request, device: torch.device) -> Model:
    networks = [load_network(Path(request.weights)).network for _ in range(request.networks)]
    if request.kind == REFERENCE:
        network = networks[0].to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        return Model((Member(network, PlainSegmenter(network)),), device)
    settings = ComputeSettings(
        device=request.device,
        backend=request.backend,
        precision=request.precision,
        threads=request.threads,
        flips=request.flips,
    )
    return prepare_model(networks, settings)


def _measure_patches(evaluate: Evaluate, patches: Patches, request: Request, batch_size: int) -> Measured:
    seconds, differences = [], []
    for number, (taken, probability) in enumerate(time_patches(evaluate, patches, batch_size)):
        seconds.append(taken)
        file, values = request.probability_file(number), probability.float().cpu().numpy()
        if request.kind == REFERENCE:
            np.save(file, values)
        if file.exists():
            differences.append(float(np.abs(values - np.load(file)).max()))
    return Measured(tuple(seconds), max(differences, default=None))


def _time_volume(volume: Volume, model: Model, request: Request) -> tuple[VolumeTime, Findings]:
    """The node's way: what cannot lift a voxel above the threshold is left out. The reference leaves out nothing."""
    settings = EngineSettings(step=request.step, threshold=THRESHOLD, exact=request.kind == REFERENCE)
    if model.device.type == "cuda":
        score_volume(volume, model, settings)  # kernels are chosen and recorded when they are first met
    started = read_clock(model.device)
    scores = score_volume(volume, model, settings)
    seconds = read_clock(model.device) - started
    findings = find_lesions(scores, volume, LesionSettings(THRESHOLD))
    patches = scores.patches_computed + scores.patches_skipped
    return VolumeTime(seconds, scores.patches_computed, patches, len(findings.lesions)), findings


def _compared(timed: VolumeTime, found: Findings, expected: Findings) -> VolumeTime:
    """Lesions are components of the voxels above the threshold: where these are the same, so are the lesions."""
    voxels = int(np.count_nonzero((found.labels > 0) != (expected.labels > 0)))
    ours, theirs = (sorted(one.lesions, key=lambda lesion: lesion.bounding_box) for one in (found, expected))
    differences = [_score_difference(one, other) for one, other in zip(ours, theirs, strict=False)]
    return replace(
        timed,
        findings_equal=voxels == 0,
        voxels_that_differ=voxels,
        largest_score_difference=max(differences, default=0.0) if len(ours) == len(theirs) else None,
    )


def _score_difference(one: Lesion, other: Lesion) -> float:
    return max(abs(one.mean_score - other.mean_score), abs(one.maximum_score - other.maximum_score))


def main() -> None:
    """A request on the standard input, the answer, or {"problem": ...}, as the last line of the standard output."""
    try:
        answer = asdict(measure(Request(**json.load(sys.stdin))))
    except (GliaNetError, RuntimeError, MemoryError) as problem:
        answer = {"problem": (str(problem) or type(problem).__name__).splitlines()[0]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
