"""The training loop, from the first case to the last checkpoint."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from glianet.device import choose_device
from training.case_sources import ManifestSource, PhantomSource, open_source
from training.manifest import CasesError, ManifestCase, of_split, read_manifest
from training.origin import record_origin
from training.precision import choose_precision
from training.processes import Processes, join_processes
from training.recipe import Recipe
from training.run_log import RunLog, Silent, open_log
from training.samples import Patches, draw_patches
from training.state import (
    BEST,
    CHECKPOINT,
    RECIPE,
    TrainingState,
    load_state,
    new_state,
    save_best,
    save_state,
)
from training.step import StepResult, take_step
from training.validation import Validation, validate, validation_cases
from training.validation_picture import draw_case

SUMMARY = "summary.json"

MOST_MISTAKES = 50
"""False positives remembered of each case."""


def train(folder: Path, recipe: Recipe) -> TrainingState:
    """Train from nothing, or from the checkpoint in `folder` to the identical next step.

    Writes checkpoint.pt, best.pt (by validation), recipe.json, origin.json, log.jsonl, summary.json and events for
    TensorBoard. Cases, patches and turns follow from seed and step alone, so that a training that was stopped and taken
    up again ends, on the CPU, with the same bits. Raises RecipeError, CasesError, PrecisionError, StateError,
    DeviceError, WeightsError.
    """
    device = choose_device(recipe.run.device)
    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)
    validated = _validation_manifest(recipe)
    with join_processes(device.type) as processes:
        if processes.count > 1 and device.type == "cuda":
            device = torch.device("cuda", processes.local_rank)
            torch.cuda.set_device(device)
        dtype = choose_precision(recipe.run.precision, device)
        state = _open_state(folder, recipe, device, dtype, processes)
        with _open_log(folder, recipe, processes) as log, _open_cases(recipe, state, processes) as cases:
            while state.step < recipe.run.steps:
                started = time.monotonic()
                batch = _draw_batch(cases, recipe, state.step, processes)
                result = take_step(state, batch, recipe, dtype, processes)
                _remember(batch, result)
                log.step(state.step, _values(result, recipe, state.step, time.monotonic() - started))
                last = state.step == recipe.run.steps
                if processes.first and _due(recipe.run.validate_every, state.step, last):
                    _validate(folder, recipe, state, validated, device, log)
                if processes.first and (last or state.step % recipe.run.checkpoint_every == 0):
                    state.mistakes = cases.remembered()
                    save_state(state, folder / CHECKPOINT)
    if processes.first:
        _write_summary(folder, recipe, state)
    return state


def _open_state(
    folder: Path, recipe: Recipe, device: torch.device, dtype: torch.dtype, processes: Processes
) -> TrainingState:
    folder.mkdir(parents=True, exist_ok=True)
    if processes.first:
        (folder / RECIPE).write_text(json.dumps(recipe.to_json(), indent=2) + "\n")
        record_origin(folder, recipe)
    state = new_state(recipe, device, dtype)
    if (folder / CHECKPOINT).exists():
        load_state(state, folder / CHECKPOINT)
    return state


@contextmanager
def _open_log(folder: Path, recipe: Recipe, processes: Processes) -> Iterator[RunLog]:
    if not processes.first:
        yield Silent()
        return
    with open_log(folder, recipe.run.steps) as log:
        yield log


@contextmanager
def _open_cases(
    recipe: Recipe, state: TrainingState, processes: Processes
) -> Iterator[ManifestSource | PhantomSource]:
    with open_source(recipe.data, recipe.run.seed, recipe.run.workers, processes.rank) as cases:
        cases.remember(state.mistakes)
        yield cases


def _draw_batch(
    cases: ManifestSource | PhantomSource, recipe: Recipe, step: int, processes: Processes
) -> list[Patches]:
    """Groups of patches, each of one case. Half of the patches, by chance, are of the positive group."""
    rng = np.random.default_rng([recipe.run.seed, step, processes.rank])
    kinds = _kinds(rng, recipe.patches.batch)
    groups = [kinds[number :: recipe.patches.cases] for number in range(recipe.patches.cases)]
    return [draw_patches(rng, cases.case(step, rng), group, recipe.patches, recipe.loss) for group in groups]


def _kinds(rng: np.random.Generator, count: int) -> list[bool]:
    """As many positive patches as negative ones; of an odd number, the one left over is either."""
    kinds = [True, False] * (count // 2) + [bool(rng.random() < 0.5)] * (count % 2)
    return [kinds[number] for number in rng.permutation(count)]


def _remember(batch: list[Patches], result: StepResult) -> None:
    """Where the network was wrong, later negative patches look again."""
    for patches, mistakes in zip(batch, result.mistakes, strict=True):
        found = patches.case.mistakes
        found.extend(patches.voxel(*mistake) for mistake in mistakes)
        del found[:-MOST_MISTAKES]


def _values(result: StepResult, recipe: Recipe, step: int, seconds: float) -> dict[str, float]:
    return {
        "loss": result.total,
        "dice": result.dice,
        "cross": result.cross,
        "risk": result.risk,
        "overlap": result.overlap,
        "gradient": result.gradient,
        "mistakes": sum(map(len, result.mistakes)),
        "rate": recipe.rate_at(step - 1),
        "seconds": seconds,
    }


def _due(every: int, step: int, last: bool) -> bool:
    return bool(every) and (last or step % every == 0)


def _validate(
    folder: Path,
    recipe: Recipe,
    state: TrainingState,
    manifest: tuple[ManifestCase, ...],
    device: torch.device,
    log: RunLog,
) -> None:
    """Scores whole cases, draws the first, and keeps the weights where they are the best so far."""
    drawn: list[str] = []

    def draw(case, probability) -> None:  # type: ignore[no-untyped-def]
        if not drawn:
            log.image("validation", state.step, draw_case(case.hu, case.labels > 0, probability))
            drawn.append(case.name)

    cases = validation_cases(manifest, recipe.data, recipe.run.validation_cases)
    found = validate(state.average, cases, device, recipe.run.validation_step, draw)
    log.step(state.step, _validation_values(found))
    if found.score > state.best:
        state.best = found.score
        save_best(state, folder / BEST)


def _validation_values(found: Validation) -> dict[str, float]:
    missing = float("nan")
    return {
        "validation_score": found.score,
        "validation_recall": missing if found.recall is None else found.recall,
        "validation_fps_per_case": found.fps_per_case,
        "validation_ap": missing if found.ap is None else found.ap,
    }


def _validation_manifest(recipe: Recipe) -> tuple[ManifestCase, ...]:
    """Raises CasesError where a manifest has no case to validate on, though the recipe wants to."""
    if not recipe.data.manifest:
        return ()
    path = Path(recipe.data.manifest)
    cases = tuple(case for case in of_split(read_manifest(path), "validation") if case.label)
    if recipe.run.validate_every and not cases:
        raise CasesError(path, ['no case of the split "validation" has a label; or set run.validate_every = 0'])
    return cases


def _write_summary(folder: Path, recipe: Recipe, state: TrainingState) -> None:
    summary = {
        "model": recipe.model,
        "steps": state.step,
        "best_validation_score": state.best if state.best >= 0 else None,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
