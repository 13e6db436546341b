"""Networks made ready to compute: on which device, in which way and precision, and the proof that it is the same."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import combinations

import torch

from glianet.device import choose_device
from glianet.device_errors import device_errors, runs_out_of_memory
from glianet.errors import BackendError, SettingsError
from glianet.known_patch import KNOWN_SIZE, check_segmenter, first_line, known_patch, unfit
from glianet.network import GLIANet
from glianet.recorder import GraphSegmenter, Recorder
from glianet.segmenters import (
    DTYPES,
    OpenVINOSegmenter,
    PlainSegmenter,
    Segmenter,
    TorchSegmenter,
    openvino_precisions,
    torch_precisions,
)
from glianet.tiling import PATCH_SIZE

BACKENDS = ("auto", "torch", "openvino")
PRECISIONS = ("auto", *DTYPES)
FLIP_AXES = ("head-foot", "front-back", "left-right")
"""Names of the axes (z, y, x) of a volume in canonical orientation."""

AUTO_PRECISION = "float32"
"""What "auto" chooses: bfloat16 moves up to 7 % of a small lesion's voxels, float16 3 % (docs/performance.md)."""

PATCH_BYTES = 1.2e9
"""Memory of a CUDA device that a patch needs while it is computed: features in float32 and cuDNN's own."""
LARGEST_BATCH = 8

QUICKEST_FIRST = {
    "cpu": ("bfloat16", "float32", "float16"),
    "cuda": ("float16", "bfloat16", "float32"),
}

Flip = tuple[int, ...]
"""Axes, of (z, y, x), along which the network's inputs are mirrored; none for the volume as it is."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComputeSettings:
    """How to compute. device: see `glianet.device`.

    backend: "torch", "openvino" (CPU only), or "auto": OpenVINO on the CPU where it is installed, else PyTorch.
    precision: of the features; "auto": float32. Fewer bits are for those that ask for them.
    threads: of the CPU; 0 for as many as PyTorch has chosen.
    flips: axes of `FLIP_AXES`; the mean over the volume and its mirror images along every set of them is taken, which
    costs 2, 4 or 8 times the time.
    """

    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    flips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, accepted in (("backend", BACKENDS), ("precision", PRECISIONS)):
            if getattr(self, name) not in accepted:
                raise SettingsError(
                    what=f"{getattr(self, name)!r} is none of {', '.join(accepted)}", where=name
                )
        if self.threads < 0:
            raise SettingsError(what=f"{self.threads} is less than 0", where="threads")
        if not set(self.flips) <= set(FLIP_AXES) or len(set(self.flips)) != len(self.flips):
            names = ", ".join(map(repr, self.flips))
            raise SettingsError(what=f"{names}: not each a different one of {', '.join(FLIP_AXES)}", where="flips")


@dataclass(frozen=True)
class Member:
    """One network: its global branch, in float32 on the device, and its local branch."""

    network: GLIANet
    segment: Segmenter


@dataclass(frozen=True)
class Model:
    """What `score_volume` runs: the mean over members and flips."""

    members: tuple[Member, ...]
    device: torch.device
    flips: tuple[Flip, ...] = ((),)
    batch_size: int = 1
    """Patches computed at once."""

    @property
    def backend(self) -> str:
        """ "torch" or "openvino"."""
        return self.members[0].segment.backend

    @property
    def precision(self) -> str:
        """ "float32", "bfloat16" or "float16"."""
        return self.members[0].segment.precision

    @property
    def description(self) -> str:
        """How it computes, for records: "openvino 2026.4.1 float32 on cpu, 2 networks, flips left-right"."""
        parts = [f"{self.backend} {version(self.backend)} {self.precision} on {self.device}"]
        if len(self.members) > 1:
            parts.append(f"{len(self.members)} networks")
        if len(self.flips) > 1:
            parts.append("flips " + " ".join(FLIP_AXES[axis] for axis in self.flips[-1]))
        return ", ".join(parts)


def prepare_model(networks: Sequence[GLIANet], settings: ComputeSettings = ComputeSettings()) -> Model:
    """Moves the networks to the device, prepares their local branches, and compares one patch with the plain network.

    Where a way that "auto" has chosen is not there, fails or gives other probabilities, the next is taken and a warning
    logged, down to the plain network itself. Raises DeviceError for a device that does not exist, BackendError for a
    backend or precision, asked for by name, that is not there or does not compute the same, OutOfMemory, DeviceLost.
    """
    device = choose_device(settings.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are of the current device
    if settings.threads:
        torch.set_num_threads(settings.threads)
    ways = fitting_ways(settings, device)
    with device_errors(device):
        for number, (backend, precision) in enumerate(ways):
            try:
                return _prepare(networks, device, backend, precision, settings)
            except BackendError as problem:
                if number == len(ways) - 1 and (backend, precision) != ("torch", "float32"):
                    raise
                log.warning("%s; the next way is taken", problem)
        log.warning("the network is computed as it is written down, which is slower")
        return _prepare_plainly(networks, device, settings)


def ways_to_compute(device: torch.device) -> tuple[tuple[str, str], ...]:
    """Every (backend, precision) that this machine has for the device, the fastest first."""
    ways = [("torch", precision) for precision in torch_precisions(device)]
    if device.type == "cpu":
        ways = [("openvino", precision) for precision in openvino_precisions()] + ways
    order = QUICKEST_FIRST[device.type]
    return tuple(sorted(ways, key=lambda way: (order.index(way[1]), way[0] != "openvino")))


def flips_of(axes: Sequence[str]) -> tuple[Flip, ...]:
    """Every set of the named axes, none first."""
    numbers = sorted(FLIP_AXES.index(axis) for axis in axes)
    return tuple(flip for count in range(len(numbers) + 1) for flip in combinations(numbers, count))


def fitting_ways(settings: ComputeSettings, device: torch.device) -> list[tuple[str, str]]:
    """Those of `ways_to_compute` that the settings allow. Raises BackendError where there is none."""
    there = ways_to_compute(device)
    wanted = AUTO_PRECISION if settings.precision == "auto" else settings.precision
    fitting = [
        (backend, precision)
        for backend, precision in there
        if settings.backend in ("auto", backend) and precision == wanted
    ]
    if not fitting:
        openvino = any(backend == "openvino" for backend, _ in there)
        missing = "" if openvino or device.type != "cpu" else ", or install the extra openvino"
        offered = ", ".join(f"{backend} in {precision}" for backend, precision in there)
        raise BackendError(
            what=f"backend {settings.backend!r} in precision {settings.precision!r} is not to be had here",
            where=f"device {device}",
            advice=f"There is {offered}; choose one of these, or \"auto\"{missing}",
        )
    return fitting


def _prepare(
    networks: Sequence[GLIANet], device: torch.device, backend: str, precision: str, settings: ComputeSettings
) -> Model:
    recorder = Recorder(device) if device.type == "cuda" else None
    members = []
    for network in networks:
        known = known_patch(network, PATCH_SIZE if backend == "openvino" else KNOWN_SIZE)
        network = _moved(network, device)
        segment = _segmenter(network, device, backend, precision, settings.threads, recorder)
        check_segmenter(segment, known, device)
        members.append(Member(network, segment))
    return Model(tuple(members), device, flips_of(settings.flips), _batch_that_fits(device))


def _prepare_plainly(networks: Sequence[GLIANet], device: torch.device, settings: ComputeSettings) -> Model:
    """Compared with itself on the CPU, where it runs elsewhere."""
    members = []
    for network in networks:
        known = known_patch(network) if device.type != "cpu" else None
        segment = PlainSegmenter(_moved(network, device))
        if known:
            check_segmenter(segment, known, device)
        members.append(Member(network, segment))
    return Model(tuple(members), device, flips_of(settings.flips), _batch_that_fits(device))


def _moved(network: GLIANet, device: torch.device) -> GLIANet:
    moved: GLIANet = network.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return moved.eval()


def _batch_that_fits(device: torch.device) -> int:
    """Chosen once, from the memory that is free beside the networks: other sizes may give other last bits."""
    if device.type != "cuda":
        return 1
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(LARGEST_BATCH, int(free / PATCH_BYTES)))


def _segmenter(
    network: GLIANet,
    device: torch.device,
    backend: str,
    precision: str,
    threads: int,
    recorder: Recorder | None = None,
) -> Segmenter:
    if backend == "openvino":
        try:
            return OpenVINOSegmenter(network, precision, threads)
        except RuntimeError as problem:
            if runs_out_of_memory(problem):
                raise
            raise unfit(backend, precision, f"it cannot be prepared ({first_line(problem)})") from problem
    segment = TorchSegmenter(network, device, precision)
    return GraphSegmenter(segment, recorder) if recorder else segment
