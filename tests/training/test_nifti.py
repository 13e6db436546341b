"""NIfTI by numpy alone, against SimpleITK's reading of the same files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from glianet.errors import ReaderError
from glianet.nifti import read_nifti, write_nifti
from training.nifti import read_grid, write_grid

OBLIQUE = np.array(
    [[0.1, 0.05, 0.44, -80.0], [-0.08, 0.45, -0.04, -90.0], [0.6, 0.07, -0.1, -40.0], [0, 0, 0, 1]]
)  # fmt: skip


def _orthogonal(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest grid with right angles, which is all that NIfTI's qform holds."""
    scale = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, vt = np.linalg.svd(affine[:3, :3] / scale)
    result = affine.copy()
    result[:3, :3] = (u @ vt) * scale
    return result


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAS", "SPL", "ARI"])
@pytest.mark.parametrize("kind", ["int16", "uint8", "float32"])
def test_it_reads_what_simpleitk_reads(tmp_path: Path, orientation: str, kind: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 200, (5, 6, 7)).astype(kind)
    path = tmp_path / "image.nii.gz"
    write_nifti(path, values, _orthogonal(OBLIQUE), orientation)
    grid, expected = read_grid(path), read_nifti(path)
    np.testing.assert_array_equal(grid.values, expected.hu)
    np.testing.assert_array_equal(grid.values, values)
    np.testing.assert_allclose(grid.affine, expected.affine, atol=1e-4)
    assert grid.values.dtype == np.dtype(kind)


def test_the_qform_counts_where_there_is_no_sform(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    image.SetSpacing((0.5, 0.6, 0.7))
    image.SetOrigin((1.0, -2.0, 3.0))
    SimpleITK.WriteImage(image, str(path))
    content = bytearray(path.read_bytes())
    assert content[254:256] != b"\0\0"
    content[254:256] = b"\0\0"  # sform_code
    path.write_bytes(content)
    grid = read_grid(path)
    np.testing.assert_allclose(grid.affine[:3, 3], (1, -2, 3), atol=1e-6)
    assert grid.spacing_mm == pytest.approx((0.7, 0.6, 0.5))
    assert grid.values[1, 2, 3] == 23


def test_scaled_values_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.full((2, 2, 2), 10, np.int16)), str(path))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -3.0], "<f4").tobytes()
    path.write_bytes(content)
    assert (read_grid(path).values == 2.0).all()


def test_what_is_no_image_of_three_dimensions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="there is no such file"):
        read_grid(tmp_path / "none.nii")
    path = tmp_path / "two.nii"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 4), np.int16)), str(path))
    with pytest.raises(ReaderError, match="not three"):
        read_grid(path)


@pytest.mark.parametrize("kind", ["int16", "uint8", "float32"])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_what_is_written_simpleitk_reads(tmp_path: Path, kind: str, name: str) -> None:
    values = np.random.default_rng(1).integers(0, 200, (5, 6, 7)).astype(kind)
    affine = _orthogonal(OBLIQUE)
    write_grid(tmp_path / name, values, affine)
    expected = read_nifti(tmp_path / name)
    np.testing.assert_array_equal(expected.hu, values)
    np.testing.assert_allclose(expected.affine, affine, atol=1e-4)
    assert read_grid(tmp_path / name).values.dtype == values.dtype
    before = (tmp_path / name).read_bytes()
    write_grid(tmp_path / name, values, affine)
    assert (tmp_path / name).read_bytes() == before
