"""Patches: where they lie, what they hold, how they are turned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glianet.tiling import global_box
from glianet.windows import to_channels
from tests.training.made_cases import CENTRE, SIDE, cube_case
from training.recipe import LossRecipe, PatchRecipe
from training.samples import Patches, Turn, _aneurysm, draw_patches
from training.training_case import case_from_arrays

SIZE = 24
PAPER = PatchRecipe(size=SIZE, jitter=9)
MIRROR = replace(PAPER, augment="mirror", bone_share=0.2, bright_share=0.2, mistake_share=0.35)
LOSS = LossRecipe()


def _draw(recipe: PatchRecipe, count: int = 12) -> list[Patches]:
    case, rng = cube_case(), np.random.default_rng(5)
    return [draw_patches(rng, case, [True, False, False], recipe, LOSS) for _ in range(count)]


@pytest.fixture(scope="module", params=["patch", "mirror", "none"])
def drawn(request: pytest.FixtureRequest) -> list[Patches]:
    return _draw(replace(PAPER, augment=request.param))


def test_shapes(drawn: list[Patches]) -> None:
    patches = drawn[0]
    assert patches.channels.shape == (3, 3, SIZE, SIZE, SIZE)
    assert patches.targets.shape == patches.weights.shape == (3, SIZE, SIZE, SIZE)
    assert patches.whole.shape == (1, 3, 96, 96, 96)


def test_positive_patches_hold_the_centre_and_negatives_no_target(drawn: list[Patches]) -> None:
    for patches in drawn:
        assert all(s <= c < s + SIZE for s, c in zip(patches.starts[0], CENTRE, strict=True))
        assert patches.targets[0].any() and not patches.targets[1:].any()
        assert patches.positive.tolist() == [True, False, False]


def test_patches_lie_inside_the_volume(drawn: list[Patches]) -> None:
    assert all(0 <= s <= SIDE - SIZE for patches in drawn for start in patches.starts for s in start)


def test_a_voxel_of_a_patch_is_the_voxel_of_the_volume(drawn: list[Patches]) -> None:
    case = cube_case()
    for patches in drawn:
        for patch in range(3):
            where = patches.voxel(patch, 3, 4, 5)
            expected = to_channels(torch.from_numpy(case.hu[where].reshape(1, 1, 1)))[:, 0, 0, 0]
            assert torch.equal(patches.channels[patch, :, 3, 4, 5], expected)
            assert bool(patches.targets[patch, 3, 4, 5]) == bool(case.labels[where])


def test_every_turn_of_the_paper_occurs_and_each_patch_has_its_own() -> None:
    turns = [turn for patches in _draw(PAPER, 60) for turn in patches.turns]
    assert {turn.quarters for turn in turns} == {0, 1, 2, 3}
    assert {axis for turn in turns for axis in turn.flipped} == {0, 1, 2}
    assert any(len({(turn.flipped, turn.quarters) for turn in patches.turns}) > 1 for patches in _draw(PAPER))


def test_the_mirror_turns_all_patches_and_the_whole_alike() -> None:
    case = cube_case()
    seen = set()
    for patches in _draw(MIRROR):
        mirrored = patches.turns[0] == Turn((2,)) or patches.turns[0].flipped == (2,)
        seen.add(mirrored)
        assert {turn.flipped for turn in patches.turns} == {(2,) if mirrored else ()}
        assert torch.equal(patches.whole, case.whole.flip(-1) if mirrored else case.whole)
        z, y, x = patches.starts[0]
        placed = (z, y, SIDE - SIZE - x) if mirrored else (z, y, x)
        assert patches.boxes[0] == global_box(placed, (SIDE,) * 3, SIZE)
    assert seen == {True, False}


def test_remembered_mistakes_are_visited_again() -> None:
    case, rng = cube_case(), np.random.default_rng(1)
    case.mistakes = [(95, 3, 95)]
    starts = [draw_patches(rng, case, [False], MIRROR, LOSS).starts[0] for _ in range(60)]
    corner = sum(start[0] > 60 and start[1] < 10 and start[2] > 60 for start in starts)
    assert corner >= 12  # a third of 60 go there; by chance one in a hundred would


def test_a_patch_counts_as_positive_above_so_many_voxels() -> None:
    case, rng = cube_case(), np.random.default_rng(2)  # the aneurysm has 125 voxels
    for above, positive in ((124, True), (125, False)):
        patches = draw_patches(rng, case, [True], replace(PAPER, jitter=0), LossRecipe(positive_above=above))
        assert patches.positive.tolist() == [positive] and patches.targets.any()


def test_a_case_smaller_than_a_patch_of_inference_is_padded_as_there() -> None:
    hu = np.full((40, 96, 96), 50, np.int16)
    mask = np.zeros(hu.shape, bool)
    mask[20, 40:43, 40:44] = True
    case = case_from_arrays("flat", hu, mask, seed=1)
    patches = draw_patches(np.random.default_rng(1), case, [True], PatchRecipe(augment="none", jitter=0), LOSS)
    assert patches.channels.shape[-3:] == (96, 96, 96) and patches.starts == [(-28, 0, 0)]
    assert patches.voxel(0, 28 + 20, 41, 41) == (20, 41, 41) and bool(patches.targets[0, 48, 41, 41])
    assert patches.boxes == [(0, 95, 0, 95, 0, 95)]


def test_the_smaller_half_of_the_aneurysms_is_drawn_more_often() -> None:
    """Of three, the two smaller ones alone with a share of 1, all of them with 0."""
    mask = np.zeros((40, 40, 120), bool)
    for at, edge in ((10, 4), (50, 2), (90, 3)):
        mask[20 : 20 + edge, 20 : 20 + edge, at : at + edge] = True
    case = case_from_arrays("three", np.zeros(mask.shape, np.int16), mask, seed=0)
    assert case.voxels.tolist() == [64, 8, 27]
    rng = np.random.default_rng(1)
    drawn = [{_aneurysm(rng, case, share) for _ in range(60)} for share in (0.0, 1.0)]
    assert drawn == [{0, 1, 2}, {1, 2}]
