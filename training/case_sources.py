"""Where training cases come from: a manifest of files, or phantoms that other processes make as training goes on."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from glianet.errors import GliaNetError
from training.manifest import CasesError, ManifestCase, of_split, read_manifest
from training.nifti import read_grid
from training.orphans import end_with_parent
from training.phantom import make_phantom
from training.phantom.traced_tree import list_trees
from training.phantom.varied import make_varied_phantom
from training.phantom_geometry import FIRST_RESERVED_SEED, training_settings
from training.recipe import DataRecipe
from training.training_case import TrainingCase, case_from_arrays, case_from_phantom

TRACED_STREAM = 6
"""Part of the seed of whether a phantom's arteries are traced, beside its own."""
SEEDS_PER_TRAINING = 10_000
SEEDS_PER_PROCESS = 1_000
"""Training n begins at 10,000 n, its processes 1,000 apart. Longer ones run into the next, never into reserved ones."""

Make = Callable[[int], TrainingCase]


class CaseSource(Protocol):
    """What a step draws its cases from."""

    def case(self, step: int, rng: np.random.Generator) -> TrainingCase:
        """One case; for the same step and generator always the same."""

    def remembered(self) -> dict[str, list[tuple[int, int, int]]]:
        """The mistakes of each case, to be kept with a checkpoint."""


class ManifestSource:
    """The training cases of a manifest that have a label; the last few stay in memory."""

    def __init__(self, cases: Sequence[ManifestCase], cached: int) -> None:
        self._cases = [case for case in cases if case.label]
        self._cached = cached
        self._kept: OrderedDict[str, TrainingCase] = OrderedDict()
        self._mistakes: dict[str, list[tuple[int, int, int]]] = {}
        if not self._cases:
            raise CasesError("manifest", ['no case of the split "train" has a label'])

    def case(self, step: int, rng: np.random.Generator) -> TrainingCase:
        """Any of the cases."""
        listed = self._cases[int(rng.integers(len(self._cases)))]
        if listed.case not in self._kept:
            loaded = load_case(listed)
            loaded.mistakes = self._mistakes.setdefault(listed.case, [])
            self._kept[listed.case] = loaded
            while len(self._kept) > self._cached:
                self._kept.popitem(last=False)
        self._kept.move_to_end(listed.case)
        return self._kept[listed.case]

    def remembered(self) -> dict[str, list[tuple[int, int, int]]]:
        """The mistakes of each case."""
        return {name: list(found) for name, found in self._mistakes.items()}

    def remember(self, mistakes: dict[str, list[tuple[int, int, int]]]) -> None:
        """Takes up what `remembered` gave."""
        self._mistakes = {name: list(found) for name, found in mistakes.items()}


class PhantomSource:
    """Phantoms `pool` at a time: at each step the same ones, however fast they are made.

    At step n the phantoms numbered from n // refresh_every on are in the pool; the next to come is in the making.
    """

    def __init__(self, executor: Executor, make: Make, first_seed: int, recipe: DataRecipe) -> None:
        self._executor = executor
        self._make = make
        self._first_seed = first_seed
        self._recipe = recipe
        self._orders: OrderedDict[int, Future[TrainingCase]] = OrderedDict()
        self._mistakes: dict[str, list[tuple[int, int, int]]] = {}

    def case(self, step: int, rng: np.random.Generator) -> TrainingCase:
        """One of the pool of this step that has an aneurysm; waits until it is made."""
        first = step // self._recipe.refresh_every
        self._order(first)
        while True:
            case = self._orders[first + int(rng.integers(self._recipe.pool))].result()
            if len(case.centres):
                case.mistakes = self._mistakes.setdefault(case.name, case.mistakes)
                return case

    def remembered(self) -> dict[str, list[tuple[int, int, int]]]:
        """The mistakes of each case."""
        return {name: list(found) for name, found in self._mistakes.items() if found}

    def remember(self, mistakes: dict[str, list[tuple[int, int, int]]]) -> None:
        """Takes up what `remembered` gave."""
        self._mistakes = {name: list(found) for name, found in mistakes.items()}

    def _order(self, first: int) -> None:
        while self._orders and next(iter(self._orders)) < first:
            number, gone = self._orders.popitem(last=False)
            self._mistakes.pop(f"phantom {self._seed(number)}", None)
            gone.cancel()
        for number in range(first, first + self._recipe.pool + 1):  # and the next one to come
            if number not in self._orders:
                self._orders[number] = self._executor.submit(self._make, self._seed(number))


    def _seed(self, number: int) -> int:
        return (self._first_seed + number) % FIRST_RESERVED_SEED


@contextmanager
def open_source(recipe: DataRecipe, seed: int, workers: int, rank: int = 0) -> Iterator[ManifestSource | PhantomSource]:
    """The source that a recipe names. rank: of several processes that train together, each with phantoms of its own.

    Raises CasesError where a manifest, or a folder of trees, cannot be used.
    """
    if recipe.manifest:
        yield ManifestSource(of_split(read_manifest(Path(recipe.manifest)), "train"), recipe.cached_cases)
        return
    first = seed * SEEDS_PER_TRAINING + rank * SEEDS_PER_PROCESS
    make, context = phantom_maker(recipe), get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as executor:
        try:
            yield PhantomSource(executor, make, first, recipe)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def load_case(listed: ManifestCase) -> TrainingCase:
    """The files of a case. Raises CasesError where image and label cannot be read or do not belong together."""
    try:
        image = read_grid(listed.image)
        label = read_grid(listed.label) if listed.label else None
        if label is not None and not np.allclose(image.affine, label.affine, atol=1e-3):
            raise ValueError("image and label lie differently in the patient")
        hu = np.clip(np.rint(image.values), -32768, 32767).astype(np.int16)
        mask = np.zeros(hu.shape, bool) if label is None else np.asarray(label.values.astype(np.float32) > 0)
        return case_from_arrays(listed.case, hu, mask, seed=0)
    except (GliaNetError, ValueError, OSError) as problem:
        raise CasesError(listed.case, [f"{problem}; `glianet-training cases check` looks at all cases"]) from problem


def phantom_maker(recipe: DataRecipe) -> Make:
    """What makes the phantoms of a recipe. Raises CasesError where its folder of trees has none."""
    make, trees = MAKERS[recipe.generator], traced_trees(recipe)
    return partial(make, trees=trees, traced_share=recipe.traced_share) if trees else make


def traced_trees(recipe: DataRecipe) -> tuple[Path, ...]:
    """The SWC files that phantoms of a recipe may take, by name. Raises CasesError where its folder has none."""
    if recipe.manifest or not recipe.trees:
        return ()
    try:
        return list_trees(Path(recipe.trees))
    except ValueError as problem:
        raise CasesError("data.trees", [str(problem)]) from problem


def standard_case(seed: int) -> TrainingCase:
    """A phantom of the first generator."""
    return case_from_phantom(make_phantom(seed, training_settings(seed)))


def varied_case(seed: int, trees: Sequence[Path] = (), traced_share: float = 0.0) -> TrainingCase:
    """A phantom that varies more widely, its arteries by chance one of the traced trees."""
    traced = np.random.default_rng([seed, TRACED_STREAM]).random() < traced_share
    return case_from_phantom(make_varied_phantom(seed, training_settings(seed), trees=trees if traced else ()))


def mixed_case(seed: int, trees: Sequence[Path] = (), traced_share: float = 0.0) -> TrainingCase:
    """One phantom in four of the first generator, the others of the second."""
    return standard_case(seed) if seed % 4 == 0 else varied_case(seed, trees, traced_share)


MAKERS: dict[str, Callable[..., TrainingCase]] = {"standard": standard_case, "varied": varied_case, "mixed": mixed_case}


def _start_worker() -> None:
    end_with_parent()
    os.nice(5)
    torch.set_num_threads(1)
