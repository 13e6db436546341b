import numpy as np
import pytest
import torch
from torch.nn import functional

from glianet.global_volume import resample_global
from tests.glianet.formulas import formula_volume, reference

LARGEST_DIFFERENCE_HU = 1e-3
"""Rounding of float32 at 1000 HU is 6e-5; a thousandth HU moves no channel by more than 1e-5."""


@pytest.mark.parametrize("name", ["vol0", "vol1"])
def test_agrees_with_the_published_resampling(name: str) -> None:
    volume = formula_volume(tuple(reference()[f"{name}_shape"].tolist()), int(reference()[f"{name}_seed"]))
    resampled = resample_global(volume)
    assert resampled.shape == (96, 96, 96) and resampled.dtype == np.float32
    np.testing.assert_allclose(
        resampled[::6, ::6, ::6], reference()[f"{name}_global_hu"], rtol=0, atol=LARGEST_DIFFERENCE_HU
    )


@pytest.mark.parametrize("shape", [(31, 120, 77), (96, 96, 96), (50, 40, 61)])
def test_equals_interpolation_of_the_padded_cube(shape: tuple[int, int, int]) -> None:
    hu = np.random.default_rng(5).integers(-1000, 1000, shape).astype(np.int16)
    cube = max(shape)
    widths = [((cube - length) // 2, cube - length - (cube - length) // 2) for length in shape]
    padded = torch.from_numpy(np.pad(hu, widths, constant_values=hu.min())).float()
    expected = functional.interpolate(
        padded[None, None], size=(96, 96, 96), mode="trilinear", align_corners=False
    )
    # PyTorch's own positions are float32: 1e-5 of a voxel, which noise of 2000 HU makes 0.05 HU.
    np.testing.assert_allclose(resample_global(hu), expected[0, 0], rtol=0, atol=0.1)
