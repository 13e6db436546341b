"""How much contrast is found inside heads that are drawn, and in averaged real ones."""

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from dicom_node.contrast import measure_contrast
from tests.support.shared_data import shared
from tests.support.written_series import axial

SPACING = (0.8, 0.7, 0.7)
LIMITS_HU = (150.0, 700.0)


def head(vessel_hu: float, noise_hu: float = 20.0) -> NDArray[np.int16]:
    """A head of 140 x 175 x 80 mm in (D, H, W) = (100, 280, 230) voxels.

    Skin at 40 HU, a skull of 6 mm with marrow of 400 HU between tables of 1,000 HU, brain at 35 HU, a sinus full of
    air with thin walls in front, and in the brain 25 vessels of 3 mm and of `vessel_hu`, head to foot.
    """
    depth, height, width = 100, 280, 230
    z, y, x = np.ogrid[:depth, :height, :width]
    z, y, x = (z - 30) * SPACING[0], (y - height / 2) * SPACING[1], (x - width / 2) * SPACING[2]
    radius = np.sqrt((y / 87) ** 2 + (x / 70) ** 2 + (z / 90) ** 2) * 70  # mm, along x
    hu = np.full((depth, height, width), -1000.0)
    for limit, value in ((70, 40), (66, 1000), (64.5, 400), (61.5, 1000), (60, 35)):
        hu[radius < limit] = value
    sinus = (y + 60) ** 2 + x**2 + (z + 15) ** 2
    hu[sinus < 18**2] = 600
    hu[sinus < 16.5**2] = -1000
    for row in range(-2, 3):
        for column in range(-2, 3):
            hu[((y - 15 * row) ** 2 + (x - 15 * column) ** 2 < 1.5**2) & (z < 35) & (z > 0)] = vessel_hu
    noise = np.random.default_rng(7).normal(0, noise_hu, hu.shape)
    return np.rint(hu + noise).astype(np.int16)


def test_vessels_of_a_cta_are_measured() -> None:
    """25 cylinders of 3 mm and 35 mm: 6.2 mL; their rims, blurred with the brain, fall below the limit."""
    found = measure_contrast(head(350), axial(SPACING), *LIMITS_HU)
    assert 4.0 < found < 7.0


def test_weak_contrast_is_still_far_above_the_smallest_volume() -> None:
    assert measure_contrast(head(220), axial(SPACING), *LIMITS_HU) > 2.0


@pytest.mark.parametrize("noise_hu", [10.0, 40.0])
def test_head_without_contrast_has_none(noise_hu: float) -> None:
    assert measure_contrast(head(35, noise_hu), axial(SPACING), *LIMITS_HU) < 0.05


def test_marrow_sinus_walls_and_skin_do_not_count() -> None:
    plain = head(35)
    assert ((plain > 150) & (plain < 700)).sum() * np.prod(SPACING) / 1000 > 50, (
        "mL of what could be mistaken"
    )


def test_narrow_field_of_view_that_cuts_the_skull() -> None:
    inner = np.s_[:, 60:220, 45:185]
    assert measure_contrast(head(350)[inner], axial(SPACING), *LIMITS_HU) > 4.0
    assert measure_contrast(head(35)[inner], axial(SPACING), *LIMITS_HU) < 0.05


def test_large_aneurysm_counts_whole() -> None:
    """A ball of 20 mm holds 4.2 mL."""
    hu = head(35)
    z, y, x = np.ogrid[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    ball = ((z - 50) * 0.8) ** 2 + ((y - 150) * 0.7) ** 2 + ((x - 115) * 0.7) ** 2 < 10**2
    hu[ball] = 300
    assert measure_contrast(hu, axial(SPACING), *LIMITS_HU) == pytest.approx(4.2, abs=0.4)


def test_where_no_brain_is_found_everything_counts() -> None:
    """1,000 voxels of 1 mm3 in air: a doubtful series is not refused for lack of contrast."""
    hu = np.full((40, 40, 40), -1000, np.int16)
    hu[10:20, 10:20, 10:20] = 300
    assert measure_contrast(hu, axial((1.0, 1.0, 1.0)), *LIMITS_HU) == pytest.approx(1.0)


@pytest.mark.parametrize("spacing", [(0.4, 0.3, 0.3), (1.5, 1.0, 1.0), (5.0, 0.5, 0.5)])
def test_any_spacing_is_taken(spacing: tuple[float, float, float]) -> None:
    hu = np.full((7, 50, 51), 40, np.int16)
    assert measure_contrast(hu, axial(spacing), *LIMITS_HU) == 0.0


@pytest.mark.parametrize("template", ["scct_cormack_2mm.nii.gz", "scct_unsmooth_SS_0.01.nii.gz"])
def test_averaged_real_heads_without_contrast(template: str) -> None:
    image = SimpleITK.ReadImage(str(shared("data/head_ct_templates") / template))
    values = SimpleITK.GetArrayFromImage(image).astype(np.float64)
    if "cormack" in template:  # units that spread soft tissue: 0-900 below -100 HU, 11 to 1 HU up to 100 HU
        values = np.where(
            values < 900, values - 1000, np.where(values < 3100, (values - 900) / 11 - 100, values - 3000)
        )
    found = measure_contrast(np.rint(values).astype(np.int16), axial(image.GetSpacing()[::-1]), *LIMITS_HU)
    assert found < 0.25


@pytest.mark.parametrize(
    ("spacing", "corner", "voxels_left"),
    [
        ((1.0, 1.0, 1.0), (10, 10, 10), 11**3 - 7**3),  # 3 voxels to either side, along the axes and combined
        ((2.0, 1.0, 1.0), (10, 10, 10), 11**3 - 3 * 7 * 7),
        ((4.0, 1.0, 1.0), (10, 10, 10), 11**3 - 1 * 7 * 7),
        ((1.0, 1.0, 1.0), (-5, -5, -5), 6**3 - 4**3),  # the bright voxel lies in the corner of the volume
        ((1.0, 1.0, 1.0), (14, 14, 14), 11**3 - 7**3),  # the block ends with the volume
    ],
)
def test_what_lies_near_a_bright_voxel_does_not_count(
    spacing: tuple[float, float, float], corner: tuple[int, int, int], voxels_left: int
) -> None:
    """A block of 11 x 11 x 11 voxels of 300 HU in air, with metal in its middle."""
    hu = np.full((25, 25, 25), -1000, np.int16)
    hu[tuple(slice(max(first, 0), first + 11) for first in corner)] = 300
    hu[tuple(first + 5 for first in corner)] = 3000
    expected = voxels_left * np.prod(spacing) / 1000
    assert measure_contrast(hu, axial(spacing), *LIMITS_HU) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shape", "spacing", "factors"),
    [
        ((41, 40, 43), (0.5, 0.6, 0.4), (2, 2, 3)),  # the last slice and the last column fill no block
        ((40, 42, 40), (1.0, 0.3, 0.7), (1, 4, 1)),
        ((40, 30, 31), (0.25, 1.25, 1.3), (5, 1, 1)),
    ],
)
def test_small_voxels_are_averaged_in_whole_blocks(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], factors: tuple[int, int, int]
) -> None:
    """5 x 5 x 5 blocks of 300 HU in air. One of them has a voxel of 299: its mean, rounded down, is below 300."""
    hu = np.full(shape, -1000, np.int16)
    hu[tuple(slice(factor, 6 * factor) for factor in factors)] = 300
    block_ml = float(np.prod(spacing) * np.prod(factors)) / 1000
    assert measure_contrast(hu, axial(spacing), 300.0, 700.0) == pytest.approx(125 * block_ml)
    hu[tuple(2 * factor for factor in factors)] = 299
    assert measure_contrast(hu, axial(spacing), 300.0, 700.0) == pytest.approx(124 * block_ml)
