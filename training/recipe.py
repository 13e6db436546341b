"""Everything that decides how a training runs: the defaults are the paper's recipe."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class DataRecipe:
    """Where cases come from.

    manifest: CSV or TOML (see `training.manifest`), whose split "train" is trained on and "validation" validated on;
    "" for phantoms. generator: of phantoms, "standard", "varied", or "mixed", one in four standard, the others varied.
    trees: folder of traced vessels (SWC), "" for none, which the share traced_share of the varied phantoms take for
    their arteries. pool: phantoms to draw from at a time; refresh_every: steps after which the oldest is replaced.
    cached_cases: volumes of a manifest kept in memory.
    """

    manifest: str = ""
    generator: str = "varied"
    trees: str = ""
    traced_share: float = 0.5
    pool: int = 24
    refresh_every: int = 8
    cached_cases: int = 8

    def problems(self) -> list[str]:
        """What is out of range."""
        return [
            *_one_of("data.generator", self.generator, ("standard", "varied", "mixed")),
            *([] if 0 <= self.traced_share <= 1 else [f"data.traced_share: {self.traced_share} is not from 0 to 1"]),
            *(["data.trees: standard phantoms take none"] if self.trees and self.generator == "standard" else []),
            *_at_least("data.pool", self.pool, 1),
            *_at_least("data.refresh_every", self.refresh_every, 1),
            *_at_least("data.cached_cases", self.cached_cases, 1),
        ]


@dataclass(frozen=True)
class PatchRecipe:
    """Which patches a step sees (paper, supplement, Input Transformation).

    size: edge in voxels, a multiple of 8; inference takes 96. batch: patches a step; half of them, by chance, from the
    positive group. cases: volumes a batch comes from; fewer cost less, since the global branch runs once for each.
    jitter: voxels that a positive patch's centre may lie from the aneurysm's. augment: "patch" flips and rotates local
    patches (paper); "mirror" mirrors volume, patch and box together, so that the location stays true; "none".
    artery_share, bright_share, bone_share, mistake_share: of negative patches around such voxels and where the network
    was wrong before; the rest lies anywhere (paper: all of them). small_share: of positive patches, around one of the
    smaller half of the volume's aneurysms; the rest around any (paper: all of them).
    """

    size: int = 96
    batch: int = 3
    cases: int = 3
    jitter: int = 38
    augment: str = "patch"
    artery_share: float = 0.0
    bright_share: float = 0.0
    bone_share: float = 0.0
    mistake_share: float = 0.0
    small_share: float = 0.0

    def problems(self) -> list[str]:
        """What is out of range."""
        shares = self.artery_share, self.bright_share, self.bone_share, self.mistake_share, self.small_share
        found = [*_one_of("patches.augment", self.augment, ("patch", "mirror", "none"))]
        if self.size % 8 or self.size < 16:
            found.append(f"patches.size: {self.size} is no multiple of 8 from 16 on; the network halves it three times")
        if not 1 <= self.cases <= self.batch:
            found.append(f"patches.cases: {self.cases} is not from 1 to patches.batch, {self.batch}")
        if not 0 <= self.jitter <= self.size // 2:
            found.append(f"patches.jitter: {self.jitter} is not from 0 to half of patches.size")
        if min(shares) < 0 or sum(shares[:3]) > 1 or max(self.mistake_share, self.small_share) > 1:
            found.append("patches: shares are from 0 to 1, those of artery, bright and bone at most 1 together")
        return found


@dataclass(frozen=True)
class LossRecipe:
    """The loss (paper, page 15, and supplement, Training Details).

    dice: "patch" takes the mean over patches, "batch" one dice over all their voxels, "both" the mean of these two, in
    which a small aneurysm counts beside a large one. lowest, highest: pyramid weights
    of targets under small_voxels; fixed: of larger ones (the main text's; the supplement has the two exchanged).
    positive_above: voxels that a patch must hold more of for its global label to be positive (published: 3).
    kind: "glianet", "cross-entropy" (softmax, no weights), or "auto": what the model was published with.
    """

    kind: str = "auto"
    global_weight: float = 0.1
    local_weight: float = 1.0
    dice_weight: float = 0.8
    cross_weight: float = 0.2
    dice_gamma: float = 0.3
    cross_gamma: float = 0.3
    dice: str = "patch"
    pyramid: bool = True
    lowest: float = 3.0
    highest: float = 20.0
    fixed: float = 11.5
    negative: float = 1.0
    small_voxels: int = 400
    positive_above: int = 0

    def problems(self) -> list[str]:
        """What is out of range."""
        return [
            *_one_of("loss.kind", self.kind, ("auto", "glianet", "cross-entropy")),
            *_one_of("loss.dice", self.dice, ("patch", "batch", "both")),
            *(
                f"loss.{name}: {getattr(self, name)} is negative"
                for name in ("global_weight", "local_weight", "dice_weight", "cross_weight", "positive_above")
                if getattr(self, name) < 0
            ),
            *(
                f"loss.{name}: {getattr(self, name)} is not above 0"
                for name in ("dice_gamma", "cross_gamma", "lowest", "highest", "fixed", "negative")
                if getattr(self, name) <= 0
            ),
        ]


@dataclass(frozen=True)
class OptimiserRecipe:
    """Adam (paper: 2e-4, times 0.95 every 10,000 steps).

    schedule: "steps" as in the paper, "linear" falls to 0 at the last step. warmup: steps over which the rate rises.
    clip: greatest norm of a gradient; 0 for none. average: decay of the weights' running mean, which is then what is
    validated and exported; 0 for none. global_every: the global feature generator learns in every so many steps.
    """

    rate: float = 2e-4
    schedule: str = "steps"
    decay: float = 0.95
    decay_every: int = 10_000
    warmup: int = 0
    clip: float = 5.0
    average: float = 0.0
    global_every: int = 1

    def problems(self) -> list[str]:
        """What is out of range."""
        return [
            *_one_of("optimiser.schedule", self.schedule, ("steps", "linear")),
            *_at_least("optimiser.decay_every", self.decay_every, 1),
            *_at_least("optimiser.global_every", self.global_every, 1),
            *_at_least("optimiser.warmup", self.warmup, 0),
            *_at_least("optimiser.clip", self.clip, 0),
            *([] if self.rate > 0 else [f"optimiser.rate: {self.rate} is not above 0"]),
            *([] if 0 <= self.average < 1 else [f"optimiser.average: {self.average} is not from 0 to below 1"]),
        ]


@dataclass(frozen=True)
class RunRecipe:
    """How long, where and how exactly.

    device: "auto", "cpu", "cuda" or "cuda:N". precision: of the forward pass, "float32", "bfloat16", "float16" (with
    scaled gradients, CUDA alone), or "auto": bfloat16 where the device has instructions for it, else float32 (CPU) or
    float16 (CUDA). workers: processes that make phantoms. initial_weights: safetensors file to begin with.
    validate_every: steps; 0 for never. validation_cases: phantoms, where there is no manifest. validation_step: of the
    window, voxels. threads: of the CPU, 0 for as many as PyTorch takes.
    """

    steps: int = 200_000
    seed: int = 1
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    workers: int = 2
    checkpoint_every: int = 100
    validate_every: int = 2_000
    validation_cases: int = 8
    validation_step: int = 48
    initial_weights: str = ""

    def problems(self) -> list[str]:
        """What is out of range."""
        return [
            *_one_of("run.precision", self.precision, ("auto", "float32", "bfloat16", "float16")),
            *_at_least("run.steps", self.steps, 1),
            *_at_least("run.seed", self.seed, 0),
            *_at_least("run.workers", self.workers, 1),
            *_at_least("run.checkpoint_every", self.checkpoint_every, 1),
            *_at_least("run.validate_every", self.validate_every, 0),
            *_at_least("run.validation_cases", self.validation_cases, 1),
            *([] if 1 <= self.validation_step <= 96 else ["run.validation_step: it is not from 1 to 96"]),
        ]


@dataclass(frozen=True)
class Recipe:
    """One training. model: a name of `training.models`."""

    model: str = "glianet"
    data: DataRecipe = field(default_factory=DataRecipe)
    patches: PatchRecipe = field(default_factory=PatchRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        chosen = self.optimiser
        warm = min((step + 1) / chosen.warmup, 1.0) if chosen.warmup else 1.0
        if chosen.schedule == "linear":
            return chosen.rate * warm * max(1 - step / self.run.steps, 0.0)
        return chosen.rate * warm * chosen.decay ** (step // chosen.decay_every)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def _one_of(key: str, value: str, accepted: tuple[str, ...]) -> list[str]:
    return [] if value in accepted else [f"{key}: {value!r} is none of {', '.join(accepted)}"]


def _at_least(key: str, value: float, least: float) -> list[str]:
    return [] if value >= least else [f"{key}: {value} is less than {least}"]
