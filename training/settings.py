"""Everything that decides how a training runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """Defaults train from nothing much as the shipped weights were made (their model card tells exactly how).

    A step sees `positives` + `negatives` patches of one volume: of `patch_size`^3 voxels at first, where ten
    steps cost one of the later, and of `large_patch_size`^3 from `large_from` (share of the steps) on. The
    large ones must be of the size that inference uses: group normalisation makes every score depend on the
    whole patch. 48 is a multiple of 6 at each scale of the network, which makes pooling the location cheap.

    The rate rises over `warmup_steps` and falls linearly to 0 at `steps`. The global feature generator learns
    in every `global_every`-th step; its gradient costs as much as that of three small patches.

    generator: "standard" or "varied", of the phantoms. initial_weights: a safetensors file to begin with; "": random
    ones.
    """

    steps: int = 2300
    seed: int = 1
    learning_rate: float = 4e-4
    warmup_steps: int = 50
    positives: int = 1
    negatives: int = 1
    patch_size: int = 48
    large_patch_size: int = 96
    large_from: float = 0.48
    global_every: int = 4
    average_decay: float = 0.995
    pool_size: int = 36
    pool_start: int = 8
    pool_workers: int = 2
    refresh_every: int = 16
    checkpoint_every: int = 50
    threads: int = 2
    bfloat16: bool = True
    generator: str = "varied"
    initial_weights: str = ""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pool_start < 1 or self.pool_size < self.pool_start:
            raise ValueError("steps and pool_start must be at least 1, pool_size at least pool_start")
        if self.patch_size % 8 or self.large_patch_size % 8:
            raise ValueError("patch sizes must be multiples of 8: the network halves them three times")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min((step + 1) / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        return self.learning_rate * warm * max(1 - step / self.steps, 0.0)

    def patch_size_at(self, step: int) -> int:
        """Edge length in voxels of the patches of a step."""
        return self.patch_size if step < self.large_from * self.steps else self.large_patch_size
