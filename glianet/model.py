"""Networks made ready to compute: on which device, in which way and precision, and the proof that it is the same."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from glianet.device import choose_device, float32_convolutions
from glianet.errors import BackendError, SettingsError, no_room_for_a_patch
from glianet.network import LOCATION_CHANNELS, LOCATION_SIZE, GLIANet
from glianet.segmenters import (
    DTYPES,
    GraphSegmenter,
    OpenVINOSegmenter,
    PlainSegmenter,
    Segmenter,
    TorchSegmenter,
    openvino_precisions,
    plain_probability,
    torch_precisions,
)
from glianet.tiling import PATCH_SIZE

BACKENDS = ("auto", "torch", "openvino")
PRECISIONS = ("auto", *DTYPES)
FLIP_AXES = ("head-foot", "front-back", "left-right")
"""Names of the axes (z, y, x) of a volume in canonical orientation."""

LARGEST_DIFFERENCE = 1e-3
"""How far a probability of the check patch may be, in float32, from that of the network as it is written down."""

LARGEST_LOG_DIFFERENCE = 0.02
"""And how far its natural logarithm, where it is below one half: thirty times what was seen. Weights that find nothing
in the check patch tell a library that computes something else by this alone."""

LARGEST_MEAN_LOG_DIFFERENCE = 0.5
"""The same in fewer bits, on average: ten times what was seen."""

CHANGED_SHARE = {"bfloat16": 0.15, "float16": 0.05}
"""In fewer bits, single voxels at the edge of a lesion differ by up to 0.6. What must agree there is on which side of
one half they are: as many as this share of the positive ones may change, about three times what was seen."""

LEAST_PROBABILITY = 1e-30
FEW_VOXELS = 8
LARGEST_MEAN_DIFFERENCE = 0.02
"""And over all voxels: four times what was seen with weights by formula, that give no clear answer anywhere."""

AUTO_PRECISION = "float32"
"""What "auto" chooses: bfloat16 moves up to 7 % of a small lesion's voxels, float16 3 % (docs/performance.md)."""

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
        """How it computes, for records: "openvino float32 on cpu, 2 networks, flips left-right"."""
        parts = [f"{self.backend} {self.precision} on {self.device}"]
        if len(self.members) > 1:
            parts.append(f"{len(self.members)} networks")
        if len(self.flips) > 1:
            parts.append("flips " + " ".join(FLIP_AXES[axis] for axis in self.flips[-1]))
        return ", ".join(parts)


def prepare_model(networks: Sequence[GLIANet], settings: ComputeSettings = ComputeSettings()) -> Model:
    """Moves the networks to the device, prepares their local branches, and compares one patch with the plain network.

    Where a way that "auto" has chosen is not there, fails or gives other probabilities, the next is taken and a warning
    logged, down to the plain network itself. Raises DeviceError for a device that does not exist, BackendError for a
    backend or precision, asked for by name, that is not there or does not compute the same, OutOfMemory.
    """
    device = choose_device(settings.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are of the current device
    ways = fitting_ways(settings, device)
    for number, (backend, precision) in enumerate(ways):
        try:
            return _prepare(networks, device, backend, precision, settings)
        except BackendError as problem:
            if number == len(ways) - 1 and (backend, precision) != ("torch", "float32"):
                raise
            log.warning("%s; the next way is taken", problem)
    log.warning("the network is computed as it is written down, which is slower")
    members = [Member(network, PlainSegmenter(network)) for network in networks]
    return Model(tuple(members), device, flips_of(settings.flips))


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
    if settings.threads:
        torch.set_num_threads(settings.threads)
    members = []
    for network in networks:
        network = network.to(device=device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
        segment = _segmenter(network, device, backend, precision, settings.threads)
        check_segmenter(segment, network, device)
        members.append(Member(network, segment))
    return Model(tuple(members), device, flips_of(settings.flips))


def _segmenter(
    network: GLIANet, device: torch.device, backend: str, precision: str, threads: int
) -> Segmenter:
    if backend == "openvino":
        try:
            return OpenVINOSegmenter(network, precision, threads)
        except RuntimeError as problem:
            raise _unfit(backend, precision, f"it cannot be prepared ({_first_line(problem)})") from problem
    segment = TorchSegmenter(network, device, precision)
    return GraphSegmenter(segment) if device.type == "cuda" else segment


def check_segmenter(segment: Segmenter, network: GLIANet, device: torch.device) -> float:
    """The largest difference in probability to `GLIANet.segment` in float32 on a patch that a formula makes.

    Raises BackendError when the two differ by more than the precision explains: a library that computes something else
    must not stay unnoticed. OutOfMemory when the device cannot hold the patch.
    """
    any_size = segment.backend == "torch" and device.type == "cpu"  # a start is waited for
    hu, location = (tensor.to(device) for tensor in _check_patch(CHECK_SIZE if any_size else PATCH_SIZE))
    if device.type == "cuda":  # a batch, and the same the other way round: a recording must not repeat itself
        hu, location = torch.cat((hu, hu.flip(1))), torch.cat((location, location))
    with torch.inference_mode(), float32_convolutions():
        try:
            expected = plain_probability(network, hu, location)
            found = segment(hu, location)
            if device.type == "cuda":
                found = torch.cat((found, segment(hu.flip(0), location.flip(0)).flip(0)))
                expected = torch.cat((expected, expected))
        except torch.OutOfMemoryError as problem:
            raise no_room_for_a_patch(device) from problem
        except RuntimeError as problem:
            why = f"it fails on a patch that is known ({_first_line(problem)})"
            raise _unfit(segment.backend, segment.precision, why) from problem
    difference = float((found - expected).abs().max())
    if not _agrees(found, expected, segment.precision):
        why = f"its probabilities of a patch that is known are off by {difference:.2g}, more than rounding explains"
        raise _unfit(segment.backend, segment.precision, why)
    return difference


def _agrees(found: Tensor, expected: Tensor, precision: str) -> bool:
    """False also where anything found is not a number."""
    difference, positive = (found - expected).abs(), expected > 0.5
    logarithms = [torch.log(one[~positive].double().clamp(min=LEAST_PROBABILITY)) for one in (found, expected)]
    apart = (logarithms[0] - logarithms[1]).abs()
    if precision == "float32":
        largest = apart.max() if apart.numel() else apart.sum()
        return bool(difference.max() <= LARGEST_DIFFERENCE) and bool(largest <= LARGEST_LOG_DIFFERENCE)
    changed = int(((found > 0.5) != positive).sum())
    allowed = CHANGED_SHARE[precision] * int(positive.sum()) + FEW_VOXELS
    means = difference.mean() <= LARGEST_MEAN_DIFFERENCE, apart.sum() <= LARGEST_MEAN_LOG_DIFFERENCE * positive.numel()
    return all(map(bool, means)) and changed <= allowed


def _unfit(backend: str, precision: str, why: str) -> BackendError:
    return BackendError(
        what=why, where=f"backend {backend!r} in {precision}", advice='Choose another backend or precision, or "auto"'
    )


def _first_line(problem: RuntimeError) -> str:
    return str(problem).strip().partition("\n")[0]


def _check_patch(size: int) -> tuple[Tensor, Tensor]:
    """HU (1, S, S, S) int16 of bright tubes and balls in brain and bone, and a location (1, 32, 6, 6, 6)."""
    rng = np.random.default_rng(CHECK_SEED)
    z, y, x = np.mgrid[:size, :size, :size]
    hu = np.full((size,) * 3, 40.0)
    hu[(z > 80) & (y > 20)] = 900
    hu[(z < 8) & (x < 60)] = -1000
    for centre in rng.uniform(12, 76, (12, 3)):
        distance = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        hu[distance < rng.uniform(2, 8) ** 2] = rng.uniform(150, 500)
        hu[((y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 4) & (z < 80)] = 300
    hu += rng.normal(0, 12, hu.shape)
    location = rng.uniform(-0.5, 1, (1, LOCATION_CHANNELS[-1], *[LOCATION_SIZE] * 3))
    return torch.from_numpy(hu.round().astype(np.int16)[np.newaxis]), torch.from_numpy(location).float()


CHECK_SEED = 20210100
CHECK_SIZE = 48
"""Edge of the check patch for PyTorch on the CPU."""
