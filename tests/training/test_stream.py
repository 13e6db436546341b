"""The pool of cases: order, renewal, capacity."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.training.made_cases import CENTRE, cube_case
from training.stream import Case, CasePool, case_pool


def test_fill_takes_seeds_in_order_and_drops_the_oldest() -> None:
    with ThreadPoolExecutor(1) as executor:
        pool = CasePool(executor, cube_case, capacity=2, next_seed=10)
        pool.fill(2)
        assert [case.phantom.seed for case in pool.cases] == [10, 11]
        assert pool.refresh(ahead=1) == 0
        pool.orders[0].result(timeout=30)
        assert pool.refresh(ahead=1) == 1
        assert [case.phantom.seed for case in pool.cases] == [11, 12]


def test_a_phantom_without_an_aneurysm_is_left_out() -> None:
    def make(seed: int) -> Case:
        case = cube_case(seed)
        if seed == 0:
            object.__setattr__(case.phantom, "aneurysms", ())
        return case

    with ThreadPoolExecutor(1) as executor:
        pool = CasePool(executor, make, capacity=3, next_seed=0)
        pool.refresh(ahead=2)
        for order in pool.orders:
            order.result(timeout=30)
        pool.refresh(ahead=0)
        assert [case.phantom.seed for case in pool.cases] == [1]


def test_another_process_makes_the_cases() -> None:
    with case_pool(cube_case, first_seed=4, capacity=1, workers=1) as pool:
        pool.fill(1)
        assert pool.cases[0].phantom.seed == 4


def test_centres_are_array_indices() -> None:
    assert np.array_equal(cube_case().centres[0], CENTRE)
