"""What a process that measures one row is asked for, and what it answers: both travel as JSON."""

from dataclasses import dataclass
from pathlib import Path

MATRIX = "matrix product"
REFERENCE = "reference"
YARDSTICK = "yardstick"
WAY = "way"


@dataclass(frozen=True)
class Request:
    """One row.

    kind: the reference is `GLIANet.segment` in float32 torch, every patch computed: what the others are compared with.
    folder: holds the volume, and the reference's results once it has run. starts: first voxels (z, y, x) of the
    patches to time. whole_volume: time that as well. Others as in ComputeSettings and EngineSettings; networks: how
    many copies of the network take part.
    """

    kind: str
    folder: str
    device: str
    threads: int
    weights: str
    step: int
    starts: tuple[tuple[int, int, int], ...]
    whole_volume: bool
    backend: str = "torch"
    precision: str = "float32"
    flips: tuple[str, ...] = ()
    networks: int = 1

    @property
    def label(self) -> str:
        """What the row is called."""
        if self.kind != WAY:
            return self.kind
        flips = f" + {len(self.flips)} flip axis" if self.flips else ""
        return f"{self.backend} {self.precision}{flips}" + (
            f" x {self.networks} networks" if self.networks > 1 else ""
        )

    @property
    def volume_file(self) -> Path:
        """(D, H, W) int16 HU."""
        return Path(self.folder) / "volume.npy"

    @property
    def affine_file(self) -> Path:
        """(4, 4) float64."""
        return Path(self.folder) / "affine.npy"

    @property
    def findings_file(self) -> Path:
        """The reference's findings."""
        return Path(self.folder) / "findings.zip"

    def probability_file(self, number: int) -> Path:
        """(96, 96, 96) float32: the reference's probability of a timed patch."""
        return Path(self.folder) / f"patch-{number}.npy"


@dataclass(frozen=True)
class VolumeTime:
    """A whole volume. findings_equal: the same lesions, voxel for voxel, as the reference's; None where it has failed.

    voxels_that_differ: that belong to a lesion in one of the two only. largest_score_difference: of the mean and
    maximum scores of lesions, by their numbers; None where their number differs.
    """

    seconds: float
    patches_computed: int
    patches: int
    lesions: int | None
    findings_equal: bool | None = None
    voxels_that_differ: int | None = None
    largest_score_difference: float | None = None


@dataclass(frozen=True)
class Measured:
    """One row. seconds: of each patch. largest_difference: in probability, from the reference; None where it failed.

    peak_bytes: memory beyond the libraries at its highest, on CUDA that of the device; 0 where unknown.
    gflop_per_second: of the matrix product alone, by precision.
    """

    seconds: tuple[float, ...] = ()
    largest_difference: float | None = None
    volume: VolumeTime | None = None
    peak_bytes: int = 0
    gflop_per_second: dict[str, float] | None = None
