"""Training phantoms, made by another process as training goes on, kept in a pool that renews itself."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray

from training.cases import training_settings
from training.phantom import Phantom, make_phantom
from training.phantom.varied import make_varied_phantom

Points = NDArray[np.int64]
CANDIDATES = 4000
"""Voxels remembered of each kind a negative patch may be centred on."""


@dataclass
class Case:
    """A phantom with what sampling needs. All points are (N, 3) indices (k, j, i)."""

    phantom: Phantom
    arteries: Points
    bright: Points
    bone: Points
    mistakes: list[tuple[int, int, int]] = field(default_factory=list)
    global_input: torch.Tensor | None = None

    @property
    def centres(self) -> list[Points]:
        """Index of each aneurysm's centre."""
        inverse = np.linalg.inv(self.phantom.affine)
        return [
            np.rint(inverse[:3, :3] @ np.array(a.centre_lps_mm) + inverse[:3, 3]).astype(int)
            for a in self.phantom.aneurysms
        ]


@dataclass
class CasePool:
    """Up to `capacity` cases; `refresh` takes in what the other process has finished and orders the next."""

    executor: Executor
    make: Callable[[int], Case]
    capacity: int
    next_seed: int
    cases: list[Case] = field(default_factory=list)
    orders: list[Future[Case]] = field(default_factory=list)

    def refresh(self, ahead: int) -> int:
        """Take in finished phantoms, oldest cases out, keep `ahead` in the making; returns how many came."""
        finished = [order for order in self.orders if order.done()]
        self.orders = [order for order in self.orders if order not in finished]
        for order in finished:
            self._take(order.result())
        while len(self.orders) < ahead:
            self._order()
        return len(finished)

    def fill(self, count: int) -> None:
        """Wait until the pool holds `count` cases."""
        while len(self.orders) + len(self.cases) < count:
            self._order()
        while len(self.cases) < count:
            self._take(self.orders.pop(0).result())

    def _order(self) -> None:
        self.orders.append(self.executor.submit(self.make, self.next_seed))
        self.next_seed += 1

    def _take(self, case: Case) -> None:
        if case.phantom.aneurysms:
            self.cases = [*self.cases, case][-self.capacity :]


@contextmanager
def case_pool(
    make: Callable[[int], Case], first_seed: int, capacity: int, workers: int
) -> Iterator[CasePool]:
    """A pool of training cases fed by `workers` processes, which end with it."""
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as executor:
        pool = CasePool(executor, make, capacity, first_seed)
        try:
            yield pool
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def make_case(seed: int) -> Case:
    """The training phantom of a seed with the places negative patches are drawn around."""
    return _with_places(make_phantom(seed, training_settings(seed)))


def make_varied_case(seed: int) -> Case:
    """As `make_case`, of the phantoms that vary more widely."""
    return _with_places(make_varied_phantom(seed, training_settings(seed)))


GENERATORS: dict[str, Callable[[int], Case]] = {"standard": make_case, "varied": make_varied_case}


def _with_places(phantom: Phantom) -> Case:
    seed = phantom.seed
    rng = np.random.default_rng([seed, 2])
    strided = phantom.hu[::2, ::2, ::2]
    bright = np.argwhere((strided > 160) & (strided < 500)) * 2
    bone = np.argwhere(strided >= 500) * 2
    arteries = np.rint(phantom.arteries).astype(int)
    return Case(phantom, _some(rng, arteries), _some(rng, bright), _some(rng, bone))


def _some(rng: np.random.Generator, points: Points) -> Points:
    return points[rng.choice(len(points), min(CANDIDATES, len(points)), replace=False)]


def _one_thread() -> None:
    os.nice(5)
    torch.set_num_threads(1)
