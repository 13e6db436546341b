from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from glianet.errors import ReaderError, VolumeError
from glianet.nifti import read_nifti, read_orientation, write_nifti

HU = np.random.default_rng(1).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)


def _write(path: Path, array: np.ndarray = HU, angle_degrees: float = 0.0, orientation: str = "LPS") -> None:
    """An image turned about z, with spacing 0.5, 0.6, 0.75 mm along x, y, z."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.6, 0.75))
    image.SetOrigin((-10, 20, 30))
    c, s = np.cos(np.deg2rad(angle_degrees)), np.sin(np.deg2rad(angle_degrees))
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def test_voxels_and_their_places(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.hu.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((0.75, 0.6, 0.5))
    np.testing.assert_allclose(volume.index_to_lps((3, 2, 1)), (-9.5, 21.2, 32.25), atol=1e-5)


def test_places_in_an_oblique_image_are_those_of_simpleitk(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii", angle_degrees=20)
    image = SimpleITK.ReadImage(str(tmp_path / "a.nii"))
    expected = image.TransformIndexToPhysicalPoint((5, 4, 3))
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").index_to_lps((3, 4, 5)), expected, atol=1e-6)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAI", "PSL"])
def test_any_orientation_is_read_canonically_and_written_back(tmp_path: Path, orientation: str) -> None:
    stored, result = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    _write(stored, angle_degrees=10, orientation=orientation)
    volume = read_nifti(stored)
    np.testing.assert_array_equal(volume.hu, HU)
    assert read_orientation(stored) == orientation
    write_nifti(result, volume.hu, volume.affine, orientation)
    first, second = SimpleITK.ReadImage(str(stored)), SimpleITK.ReadImage(str(result))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(first), SimpleITK.GetArrayFromImage(second))
    for get in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(first, get)(), getattr(second, get)(), atol=1e-6)


def test_fractions_are_rounded(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii", np.full((2, 2, 2), 40.6, np.float32))
    assert (read_nifti(tmp_path / "a.nii").hu == 41).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2, 2), np.nan, np.float32), "not finite"),
        (np.full((2, 2, 2), 40_000, np.int32), "are not HU"),
        (np.full((2, 2, 2), -40_000.0, np.float32), "are not HU"),
    ],
)
def test_values_that_are_no_hu_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = tmp_path / "a.mha"
    _write(path, array)
    with pytest.raises(VolumeError, match=message) as caught:
        read_nifti(path)
    assert caught.value.where == str(path)


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    flat, text = tmp_path / "flat.nii", tmp_path / "text.nii"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(HU[0]), str(flat))
    text.write_text("no image")
    with pytest.raises(ReaderError, match="not one three-dimensional image"):
        read_nifti(flat)
    for read in (read_nifti, read_orientation):
        with pytest.raises(ReaderError, match="cannot be read as an image"):
            read(text)


def test_a_skewed_grid_cannot_be_written(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    with pytest.raises(VolumeError, match="right angles"):
        write_nifti(tmp_path / "a.nii", HU, affine)


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        write_nifti(tmp_path / "none" / "a.nii", HU, np.eye(4))
