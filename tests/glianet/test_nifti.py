import subprocess
import sys
from itertools import permutations, product
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
        (np.array([1, np.nan, 3, 4], np.float32).reshape(1, 2, 2), "not finite"),
        (np.array([1, np.inf, 3, 4], np.float64).reshape(1, 2, 2), "not finite"),
        (np.array([1, -np.inf, 3, 4], np.float64).reshape(1, 2, 2), "not finite"),
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


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.full((2, 2, 2), 1 + 1j, np.complex64))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nii"))
    with pytest.raises(ReaderError, match="one value for each voxel"):
        read_nifti(tmp_path / "a.mha")
    with pytest.raises(ReaderError, match="data type 32"):
        read_nifti(tmp_path / "a.nii")


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


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII", ".NII.GZ", ".Nii", ".Nii.gz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_of_nifti_that_are_not_finite_are_refused(
    tmp_path: Path, suffix: str, dtype: type[np.floating]
) -> None:
    values = HU.astype(dtype)
    values[1, 2, 3], values[0, 0, 0], values[3, 4, 5] = np.nan, np.inf, -np.inf
    _write(tmp_path / f"a{suffix.lower()}", values)
    path = (tmp_path / f"a{suffix.lower()}").rename(tmp_path / f"b{suffix}")
    with pytest.raises(
        VolumeError, match="3 of its 120 voxels are not finite numbers. Fill or crop"
    ) as caught:
        read_nifti(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("suffix", [".NII", ".NII.GZ", ".Nii", ".Nii.gz", ".nii.GZ"])
def test_names_in_any_case(tmp_path: Path, suffix: str) -> None:
    _write(tmp_path / f"a{suffix.lower()}", orientation="RAS")
    path = (tmp_path / f"a{suffix.lower()}").rename(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(read_nifti(path).hu, HU)
    assert read_orientation(path) == "RAS"


def test_voxels_are_those_of_the_file_and_not_of_its_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SimpleITK.ReadImage("a.nii.gz") gives the voxels of a.nii when there is one."""
    _write(tmp_path / "a.nii.gz", HU)
    _write(tmp_path / "a.nii", HU + 1)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz").hu, HU)
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").hu, HU + 1)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_nifti(Path("a.nii.gz")).hu, HU)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    _write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for size in (0, 1, 20, 100, len(content) // 2, len(content) - 9, len(content) - 1):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(ReaderError, match="cannot be read as an image") as caught:
            read_nifti(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize("name", ["none.nii", "none.nii.gz", "none.mha"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReaderError, match="cannot be read as an image"):
        read_nifti(tmp_path / name)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
)
@pytest.mark.parametrize("name", ["a.nii", "a.nrrd"])
def test_voxels_of_every_type(tmp_path: Path, dtype: type[np.number], name: str) -> None:
    values = np.abs(HU % 100).astype(dtype)
    _write(tmp_path / name, values, orientation="PIR")
    hu = read_nifti(tmp_path / name).hu
    np.testing.assert_array_equal(hu, values)
    assert hu.dtype == np.int16
    assert hu.flags.c_contiguous
    assert hu.flags.writeable
    assert hu.flags.owndata


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_orientations_are_those_of_simpleitk(tmp_path: Path, order: tuple[int, int, int]) -> None:
    """Obliquely, by 20 degrees: what SimpleITK itself makes of an image that it turns to LPS, and back."""
    for reverse in product([False, True], repeat=3):
        orientation = "".join(("LPS", "RAI")[reverse[axis]][axis] for axis in order)
        _write(tmp_path / "a.nii", angle_degrees=20, orientation=orientation)
        expected = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(tmp_path / "a.nii")), "LPS")
        volume = read_nifti(tmp_path / "a.nii")
        np.testing.assert_array_equal(volume.hu, SimpleITK.GetArrayFromImage(expected))
        for i, j, k in ((0, 0, 0), (5, 4, 3), (5, 0, 1)):
            place = expected.TransformIndexToPhysicalPoint((i, j, k))
            np.testing.assert_allclose(volume.index_to_lps((k, j, i)), place, atol=1e-9)
        write_nifti(tmp_path / "b.nii", volume.hu, volume.affine, orientation)
        assert read_orientation(tmp_path / "b.nii") == orientation
        np.testing.assert_allclose(read_nifti(tmp_path / "b.nii").affine, volume.affine, atol=1e-5)


def test_an_array_that_is_not_contiguous_is_written_as_it_is_and_stays(tmp_path: Path) -> None:
    array, affine = HU.transpose(2, 0, 1)[::-1], np.eye(4)[[2, 1, 0, 3]]
    before, grid = array.copy(), affine.copy()
    write_nifti(tmp_path / "a.nii", array, affine, "RAS")
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").hu, before)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(affine, grid)


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from glianet.nifti import read_nifti, write_nifti

def memory(of):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(of))

path, kind = Path(sys.argv[1]), sys.argv[2]
array = np.zeros((160, 512, 512), kind)
array[:] = np.arange(512)
before = memory("VmRSS")
write_nifti(path, array, np.diag([0.7, 0.5, 0.5, 1.0]), "RAS")
writing = (memory("VmHWM") - before) / array.nbytes
voxels = array.nbytes
del array
Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
before = memory("VmRSS")
volume = read_nifti(path)
print(writing, (memory("VmHWM") - before) / voxels)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures the memory")
@pytest.mark.parametrize("kind", ["int16", "uint16", "float32"])
def test_memory_beyond_the_array(tmp_path: Path, kind: str) -> None:
    """Of an image that has to be turned, in multiples of the array: a copy turned and a copy of SimpleITK's."""
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "a.nii"), kind]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    writing, reading = map(float, result.stdout.split())
    assert writing < 2.2
    assert reading < 2.2
