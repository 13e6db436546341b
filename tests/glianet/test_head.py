"""Phantoms of air, in which ellipsoids and boxes of tissue lie. Sizes in voxels; half a millimetre each."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from glianet.head import MARGIN_BLOCKS, find_head, patches_with_head
from glianet.window_grid import window_grid

Volume = NDArray[np.int16]
Mask = NDArray[np.bool_]

SHAPE = (130, 200, 190)
AIR, FOAM, FAT, BRAIN, BONE = -1000, -600, -100, 40, 900
CENTRE, RADII = (64, 90, 95), (50, 70, 60)


def _air(shape: tuple[int, int, int] = SHAPE) -> Volume:
    return np.full(shape, AIR, np.int16)


def _ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...], shape: tuple[int, int, int] = SHAPE) -> Mask:
    axes = np.ogrid[: shape[0], : shape[1], : shape[2]]
    squares = [((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)]
    return np.asarray(squares[0] + squares[1] + squares[2] < 1)


def _head() -> Volume:
    """Fat on the outside, a skull, brain."""
    hu = _air()
    hu[_ellipsoid(CENTRE, RADII)] = FAT
    hu[_ellipsoid(CENTRE, (46, 66, 56))] = BONE
    hu[_ellipsoid(CENTRE, (40, 60, 50))] = BRAIN
    return hu


def _voxels(blocks: Mask, shape: tuple[int, ...] = SHAPE) -> Mask:
    """The voxels of the blocks."""
    depth, height, width = shape
    return blocks.repeat(4, 0).repeat(4, 1).repeat(4, 2)[:depth, :height, :width]


def _reach(tissue: Mask) -> Mask:
    """Voxels within the margin of 2 blocks and the block that tissue lies in: 11 voxels from it at most."""
    return ndimage.binary_dilation(tissue, np.ones((3, 3, 3)), iterations=4 * MARGIN_BLOCKS + 3)


@pytest.fixture(scope="module")
def head() -> Volume:
    return _head()


def test_a_head_is_found_with_a_margin_and_no_more(head: Volume) -> None:
    tissue, found = head > -300, _voxels(find_head(head))
    margin = ndimage.binary_dilation(tissue, np.ones((3, 3, 3)), iterations=4 * MARGIN_BLOCKS)
    assert not (margin & ~found).any()
    assert not (found & ~_reach(tissue)).any()


def test_blocks_are_counted_rounded_up_and_those_at_the_end_may_be_smaller() -> None:
    hu = _air((97, 98, 99))
    hu[96, 97, 98] = BRAIN
    found = find_head(hu)
    expected = np.zeros((25, 25, 25), bool)
    expected[22:, 22:, 22:] = True
    np.testing.assert_array_equal(found, expected)


def test_air_alone_is_no_head() -> None:
    hu = _air()
    hu[0, 0, 0] = -300
    assert not find_head(hu).any()


def test_a_single_value_above_the_limit_is_tissue_to_its_block() -> None:
    hu = _air()
    hu[66, 101, 33] = -299
    found = find_head(hu)
    assert found.sum() == 5**3 and found[14:19, 23:28, 6:11].all()


def test_air_inside_the_head_belongs_to_it(head: Volume) -> None:
    """A maxillary sinus, an air cell, and pneumocephalus of half of the brain: all of it closed in every slice."""
    hu = head.copy()
    cavities = _ellipsoid((50, 50, 80), (18, 18, 18)) | _ellipsoid((70, 110, 105), (25, 38, 38))
    hu[cavities] = AIR
    assert not (_ellipsoid(CENTRE, RADII) & ~_voxels(find_head(hu))).any()


def test_tissue_that_floats_in_air_inside_the_head_is_kept(head: Volume) -> None:
    hu = head.copy()
    hu[_ellipsoid((70, 110, 105), (25, 38, 38))] = AIR
    floating = _ellipsoid((70, 110, 105), (5, 5, 5))
    hu[floating] = 300
    assert not (floating & ~_voxels(find_head(hu))).any()


def test_an_open_mouth_takes_no_tissue_away(head: Volume) -> None:
    """A channel of air from the front to the throat, open in each of its slices."""
    hu = head.copy()
    hu[40:60, :100, 85:105] = AIR
    tissue = hu > -300
    assert not (tissue & ~_voxels(find_head(hu))).any()


def test_a_thin_rod_apart_from_the_head_is_left_out(head: Volume) -> None:
    """A rail of the table, 6 x 8 voxels across, 26 voxels behind the occiput: 1 % of the head's blocks."""
    hu = head.copy()
    hu[:, 186:192, 91:99] = 200
    found = _voxels(find_head(hu))
    np.testing.assert_array_equal(found, _voxels(find_head(head)))
    assert not found[:, 186:192].any()


def test_a_headrest_of_foam_is_not_tissue(head: Volume) -> None:
    """It lies under the head and touches it."""
    hu = head.copy()
    hu[:, 130:, :][head[:, 130:, :] == AIR] = FOAM
    np.testing.assert_array_equal(find_head(hu), find_head(head))


def test_specks_and_a_wire_of_noise_are_left_out(head: Volume) -> None:
    hu = head.copy()
    for corner in np.random.default_rng(2).integers(0, 8, (15, 3)).tolist():
        hu[tuple(corner)] = 500
    hu[5, 195, :] = 2000
    np.testing.assert_array_equal(find_head(hu), find_head(head))


def test_a_head_apart_from_the_shoulders_is_kept() -> None:
    """The shoulders fill the lower slices and are four times the head; ten slices between are blank."""
    shape = (160, 200, 200)
    hu = _air(shape)
    small = _ellipsoid((125, 100, 100), (28, 60, 50), shape)
    small[:110] = False
    hu[small] = BRAIN
    hu[:100, 40:190] = BRAIN
    assert (hu[:100] > -300).sum() > 4 * small.sum()
    assert not ((hu > -300) & ~_voxels(find_head(hu), shape)).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_head_that_a_band_of_artefact_cuts_in_two_is_kept(head: Volume, axis: int) -> None:
    """Blank slices, or the black band between two clips: 12 voxels of -1024 right through, a fifth of the way in."""
    hu = head.copy()
    first = CENTRE[axis] - RADII[axis] + 2 * RADII[axis] // 5
    band = tuple(slice(first, first + 12) if number == axis else slice(None) for number in range(3))
    hu[band] = -1024
    tissue = hu > -300
    assert ndimage.label(tissue)[1] == 2
    assert not (tissue & ~_voxels(find_head(hu))).any()


def test_a_piece_of_a_fiftieth_of_the_largest_is_kept_and_a_smaller_one_is_not() -> None:
    """Boxes that fill their blocks: 25 x 40 x 20 = 20,000 blocks, and 400 or 399 blocks 40 voxels away from it."""
    shape = (120, 164, 200)
    hu = _air(shape)
    hu[:100, :160, :80] = BRAIN
    hu[:40, :160, 120:124] = BRAIN
    assert _voxels(find_head(hu), shape)[:40, :160, 120:124].all()
    hu[:4, :4, 120:124] = AIR
    assert not _voxels(find_head(hu), shape)[:, :, 100:].any()


def test_blocks_that_only_share_a_corner_hang_together() -> None:
    """A cube of 4^3 blocks at the corner of one of 20^3, 0.8 % of it."""
    hu = _air((120, 120, 120))
    hu[:80, :80, :80] = BRAIN
    hu[80:96, 80:96, 80:96] = BRAIN
    assert _voxels(find_head(hu), hu.shape)[80:96, 80:96, 80:96].all()


def test_a_head_cut_by_the_field_of_view_is_kept_to_its_edges() -> None:
    """The centre of a sphere lies in the corner of the volume."""
    hu = _air()
    tissue = _ellipsoid((0, 0, 0), (100, 100, 100))
    hu[tissue] = BRAIN
    found = _voxels(find_head(hu))
    assert not (tissue & ~found).any() and not found[-1, -1, -1]


def test_a_volume_full_of_tissue_is_chosen_whole() -> None:
    """Rescaled wrongly, or so noisy that air is not below the limit anywhere."""
    assert find_head(np.full((96, 100, 97), 24, np.int16)).all()


def test_noise_in_the_air_makes_too_much_rather_than_too_little(head: Volume) -> None:
    """With 350 HU of noise more than half of the blocks of air reach -300 and hang together with the head."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 350, SHAPE)
    hu = (head + noise).clip(-1024, 3071).round().astype(np.int16)
    found = _voxels(find_head(hu))
    assert not (_ellipsoid(CENTRE, RADII) & ~found).any()
    assert found.mean() > 0.95


def test_moderate_noise_changes_little(head: Volume) -> None:
    """120 HU: 5.8 standard deviations from air to the limit."""
    noise = np.random.default_rng(4).normal(0, 120, SHAPE)
    hu = (head + noise).clip(-1024, 3071).round().astype(np.int16)
    found = _voxels(find_head(hu))
    assert not (_ellipsoid(CENTRE, RADII) & ~found).any()
    assert not (found & ~_reach(_reach(head > -300))).any()


def test_padding_outside_the_circle_of_reconstruction_does_not_displace_the_head() -> None:
    """Corners of 0 HU are larger than a small head in a large field of view."""
    shape = (96, 240, 240)
    hu = _air(shape)
    tissue = _ellipsoid((48, 120, 120), (30, 36, 30), shape)
    hu[tissue] = BRAIN
    y, x = np.ogrid[:240, :240]
    hu[:, (y - 120) ** 2 + (x - 120) ** 2 > 110**2] = 0
    assert (hu == 0).sum() > 10 * tissue.sum()
    assert not (tissue & ~_voxels(find_head(hu), shape)).any()


@pytest.mark.parametrize("seed", range(4))
def test_no_tissue_of_the_largest_piece_is_left_out(seed: int) -> None:
    """Blobs of any shape: 26-connected voxels above -300 HU, and whatever is enclosed by them in a slice."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(101, 110, 99)), 6)
    hu = (smooth / smooth.std() * 500 - 600).clip(-1024, 3071).round().astype(np.int16)
    pieces, _ = ndimage.label(hu > -300, np.ones((3, 3, 3)))
    largest = pieces == np.bincount(pieces[pieces > 0]).argmax()
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in largest])
    found = _voxels(find_head(hu), hu.shape)
    assert not (filled & ~found).any()


@pytest.mark.parametrize(("shape", "step"), [((150, 111, 203), 48), ((96, 145, 162), 32), ((131, 97, 250), 17)])
def test_patches_with_head_are_those_with_any_voxel_of_a_chosen_block(
    shape: tuple[int, int, int], step: int
) -> None:
    rng, grid = np.random.default_rng(step), window_grid(shape, step)
    for share in (0.0, 0.00002, 0.0001, 0.001, 1.0):
        blocks = rng.random([-(-length // 4) for length in shape]) < share
        voxels = _voxels(blocks, shape)
        expected = np.array([voxels[grid.window(patch)].any() for patch in grid]).reshape(grid.patches)
        np.testing.assert_array_equal(patches_with_head(blocks, grid), expected)


def test_a_patch_that_holds_one_voxel_of_a_block_is_computed() -> None:
    """Along z patches from 0, 48 and 54; block 24 is voxels 96 to 99, block 12 is 48 to 51, block 13 is 52 to 55."""
    grid = window_grid((150, 96, 96), 48)
    for block, expected in ((24, [False, True, True]), (23, [True] * 3), (12, [True, True, False]), (13, [True] * 3)):
        head = np.zeros((38, 24, 24), bool)
        head[block, 0, 23] = True
        assert patches_with_head(head, grid)[:, 0, 0].tolist() == expected
