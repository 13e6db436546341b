"""Patches: where they lie, what they hold, and the mirror."""

import numpy as np
import pytest
import torch

from glianet.tiling import global_box
from glianet.windows import to_channels
from tests.training.made_cases import CENTRE, SIDE, cube_case
from training.samples import Batch, draw_batch

SIZE = 24


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    case, rng = cube_case(), np.random.default_rng(5)
    return [draw_batch(rng, case, SIZE, positives=1, negatives=2) for _ in range(12)]


def test_shapes(batches: list[Batch]) -> None:
    batch = batches[0]
    assert batch.patches.shape == (3, 3, SIZE, SIZE, SIZE)
    assert batch.targets.shape == batch.weights.shape == (3, SIZE, SIZE, SIZE)
    assert batch.global_input.shape == (1, 3, 96, 96, 96)


def test_positive_patches_hold_the_centre_and_negatives_no_target(batches: list[Batch]) -> None:
    for batch in batches:
        assert all(s <= c < s + SIZE for s, c in zip(batch.starts[0], CENTRE, strict=True))
        assert batch.targets[0].any() and not batch.targets[1:].any()


def test_patches_lie_inside_the_volume(batches: list[Batch]) -> None:
    assert all(0 <= s <= SIDE - SIZE for batch in batches for start in batch.starts for s in start)


def test_both_ways_round_occur(batches: list[Batch]) -> None:
    assert {batch.mirrored for batch in batches} == {True, False}


def test_a_voxel_of_a_patch_is_the_voxel_of_the_volume(batches: list[Batch]) -> None:
    hu = cube_case().phantom.hu
    for batch in batches:
        where = batch.voxel(1, 3, 4, 5)
        expected = to_channels(torch.from_numpy(hu[where].reshape(1, 1, 1)))[:, 0, 0, 0]
        assert torch.equal(batch.patches[1, :, 3, 4, 5], expected)


def test_boxes_are_those_of_the_mirrored_volume(batches: list[Batch]) -> None:
    for batch in batches:
        z, y, x = batch.starts[0]
        placed = (z, y, SIDE - SIZE - x) if batch.mirrored else (z, y, x)
        assert batch.boxes[0] == global_box(placed, (SIDE,) * 3, SIZE)


def test_remembered_mistakes_are_visited_again() -> None:
    case, rng = cube_case(), np.random.default_rng(1)
    case.mistakes = [(60, 3, 60)]
    starts = [draw_batch(rng, case, SIZE, 0, 1).starts[0] for _ in range(60)]
    corner = sum(start[0] > 28 and start[1] == 0 and start[2] > 28 for start in starts)
    assert corner >= 10  # a third of 60; without the memory this corner is hit by chance about twice
