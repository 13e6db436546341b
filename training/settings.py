"""Everything that decides how a training runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """Defaults are those of the last part of the run that made the shipped weights (see their model card).

    A step sees `positives` + `negatives` patches of `patch_size`^3 of one volume. The rate rises over
    `warmup_steps` and falls linearly to 0 at `steps`. 48 voxels rather than 64: at each scale of the network
    a multiple of 6, which makes the pooling of the location feature cheap. The global feature generator
    learns in every `global_every`-th step; its gradient costs as much as that of three such patches.
    """

    steps: int = 1100
    seed: int = 1
    learning_rate: float = 4e-4
    warmup_steps: int = 50
    positives: int = 2
    negatives: int = 2
    patch_size: int = 48
    global_every: int = 4
    average_decay: float = 0.995
    pool_size: int = 36
    pool_start: int = 8
    pool_workers: int = 2
    refresh_every: int = 16
    checkpoint_every: int = 50
    threads: int = 2
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.pool_start < 1 or self.pool_size < self.pool_start:
            raise ValueError("steps and pool_start must be at least 1, pool_size at least pool_start")
        if self.patch_size % 8:
            raise ValueError(f"patch size {self.patch_size} must be a multiple of 8: it is halved thrice")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = min((step + 1) / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        return self.learning_rate * warm * max(1 - step / self.steps, 0.0)
