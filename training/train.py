"""The training loop, from the first phantom to the last checkpoint."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.samples import Batch, draw_batch
from training.settings import TrainingSettings
from training.state import CHECKPOINT, SETTINGS, TrainingState, load_state, new_state, save_state, start_from
from training.step import StepResult, take_step
from training.stream import GENERATORS, Case, case_pool

LOG = "log.jsonl"

MAXIMUM_MISTAKES = 50
"""False positives remembered of each case."""


def train(
    folder: Path, settings: TrainingSettings, make: Callable[[int], Case] | None = None
) -> TrainingState:
    """Train from nothing or from the checkpoint in `folder`; writes checkpoint, log (JSON Lines), settings.

    make: gives the case of a seed, None as the settings say; it must be importable, since another process calls it.

    The same settings draw the same phantoms and patches; how many phantoms are there at a step depends on the
    machine's speed, so two runs agree in distribution, not in every bit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=2))
    torch.set_num_threads(settings.threads)
    state = new_state(settings.seed, settings.learning_rate)
    if (folder / CHECKPOINT).exists():
        load_state(state, folder / CHECKPOINT)
    elif settings.initial_weights:
        start_from(state, Path(settings.initial_weights))
    rng = np.random.default_rng([settings.seed, state.step])
    first_seed, make = settings.seed * 10_000 + state.step, make or GENERATORS[settings.generator]
    with (
        case_pool(make, first_seed, settings.pool_size, settings.pool_workers) as pool,
        _progress() as progress,
        (folder / LOG).open("a", buffering=1) as log,
    ):
        task = progress.add_task("training", total=settings.steps, completed=state.step)
        pool.fill(settings.pool_start)
        while state.step < settings.steps:
            started = time.monotonic()
            if state.step % settings.refresh_every == 0:
                pool.refresh(ahead=settings.pool_workers)
            case = pool.cases[int(rng.integers(len(pool.cases)))]
            batch = draw_batch(
                rng, case, settings.patch_size_at(state.step), settings.positives, settings.negatives
            )
            result = take_step(state, batch, settings)
            _remember(case, batch, result)
            log.write(_entry(state.step, result, len(pool.cases), time.monotonic() - started))
            progress.update(task, completed=state.step, description=f"dice loss {result.dice:.3f}")
            if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
                save_state(state, folder / CHECKPOINT)
    return state


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )


def _remember(case: Case, batch: Batch, result: StepResult) -> None:
    """Where the network was wrong, later negative patches look again."""
    case.mistakes.extend(batch.voxel(*mistake) for mistake in result.mistakes)
    del case.mistakes[:-MAXIMUM_MISTAKES]


def _entry(step: int, result: StepResult, cases: int, seconds: float) -> str:
    entry = asdict(result) | {"mistakes": len(result.mistakes)}
    rounded = {key: round(value, 4) for key, value in entry.items()}
    return json.dumps({"step": step, **rounded, "cases": cases, "seconds": round(seconds, 2)}) + "\n"
