"""From files of a series to a volume: whatever their order, orientation and transfer syntax."""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.demo.series_header import SeriesHeader
from dicom_node.dicom_file import read_headers
from dicom_node.errors import NodeError
from dicom_node.read_series import inspect_series, read_folder, read_volume
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.dcmtk import COMPRESSORS, compress
from tests.support.written_series import (
    ASSEMBLY,
    FEW_SLICES,
    axial,
    change,
    inspect,
    random_hu,
    sheared,
    turned,
    write,
)

HU = random_hu((5, 40, 48))
OBLIQUE = turned(turned(turned(axial(), "x", 10.0), "y", -6.0), "z", 20.0)


def refusal(paths: list[Path] | tuple[Path, ...]) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        inspect(paths)
    return caught.value


def test_series_comes_back_as_it_was(tmp_path: Path) -> None:
    source = inspect(write(tmp_path, HU))
    volume = read_volume(source)
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, HU)
    assert volume.affine == pytest.approx(axial())


def test_order_of_files_and_instance_numbers_does_not_matter(tmp_path: Path) -> None:
    paths = write(tmp_path, HU, names=random.Random(4))
    assert [path.name for path in paths] != sorted(path.name for path in paths), "the names are shuffled"
    source = inspect(sorted(paths))
    assert source.paths == paths, "foot to head"
    assert [str(header.SOPInstanceUID) for header in source.datasets] == [
        plane.sop_instance_uid for plane in source.geometry.planes
    ]
    assert np.array_equal(read_volume(source).hu, HU)


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
def test_however_the_patient_lies_the_volume_is_the_same(tmp_path: Path, position: str) -> None:
    paths = write(tmp_path, HU, OBLIQUE, patient_position=position)
    volume = read_volume(inspect(paths))
    assert np.array_equal(volume.hu, HU)
    assert volume.affine == pytest.approx(OBLIQUE)
    stored = dcmread(paths[0]).pixel_array.astype(int) - 1024
    assert np.array_equal(stored, HU[0]) == (position == "HFS"), "the stored images differ"


@pytest.mark.parametrize("form", ["single-frame", "enhanced", "legacy"])
@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize(
    "bits",
    [{"signed": True, "bits_stored": 16}, {"signed": False, "bits_stored": 12}],
    ids=["signed", "12 bits"],
)
def test_every_lossless_transfer_syntax(tmp_path: Path, form: str, syntax: str, bits: dict[str, Any]) -> None:
    paths = write(tmp_path, HU, form=form, transfer_syntax_uid=syntax, names=random.Random(1), **bits)
    source = inspect(paths)
    assert source.datasets[0].file_meta.TransferSyntaxUID == syntax
    volume = read_volume(source)
    assert np.array_equal(volume.hu, HU)
    assert volume.affine == pytest.approx(axial())


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("kind", COMPRESSORS)
def test_transfer_syntaxes_as_dcmtk_writes_them(tmp_path: Path, kind: str, signed: bool) -> None:
    paths = compress(write(tmp_path / "plain", HU, signed=signed), kind, tmp_path / "compressed")
    assert np.array_equal(read_volume(inspect(paths)).hu, HU)


def test_multi_frame_instance_is_one_dataset_with_numbered_frames(tmp_path: Path) -> None:
    paths = write(tmp_path, HU, form="enhanced", names=random.Random(1))
    source = inspect(paths)
    assert (source.paths, len(source.datasets), len(paths)) == (paths, 1, 1)
    assert [plane.frame_number for plane in source.geometry.planes] == [1, 2, 3, 4, 5]


def test_frames_in_any_order(tmp_path: Path) -> None:
    """The frames head to foot, as the converter of a scanner may put them."""
    (path,) = write(tmp_path, HU, form="legacy")
    dataset = dcmread(path)
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[::-1]
    dataset.PixelData = dataset.pixel_array[::-1].tobytes()
    dataset.save_as(path, enforce_file_format=True)
    source = inspect([path])
    assert [plane.frame_number for plane in source.geometry.planes] == [5, 4, 3, 2, 1]
    assert np.array_equal(read_volume(source).hu, HU)


def test_series_spread_over_several_multi_frames_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path / "a", HU, form="enhanced") + write(
        tmp_path / "b", HU, axial(origin=(-10, -20, 33)), form="enhanced"
    )
    change(paths[1], SOPInstanceUID="1.2.3.4")
    assert refusal(paths).reason is Reason.SEVERAL_MULTI_FRAMES


def test_rescale_of_each_slice_is_its_own(tmp_path: Path) -> None:
    paths = write(tmp_path, HU)
    change(paths[3], RescaleSlope=2, RescaleIntercept=-1000)
    hu = read_volume(inspect(paths)).hu
    assert np.array_equal(hu[3], (HU[3].astype(int) + 1024) * 2 - 1000)
    assert np.array_equal(np.delete(hu, 3, 0), np.delete(HU, 3, 0))


def test_pixels_and_matrix_that_are_not_square(tmp_path: Path) -> None:
    hu = random_hu((4, 9, 31))
    volume = read_volume(inspect(write(tmp_path, hu, axial((0.6, 0.9, 0.3)))))
    assert np.array_equal(volume.hu, hu)
    assert volume.spacing_mm == pytest.approx((0.6, 0.9, 0.3))


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
@pytest.mark.parametrize("affine", [axial(), OBLIQUE], ids=["axial", "oblique"])
def test_simpleitk_sees_the_same_voxels_in_the_same_places(
    tmp_path: Path, affine: NDArray[np.float64], position: str
) -> None:
    paths = write(tmp_path, HU, affine, patient_position=position, names=random.Random(2))
    image = SimpleITK.ReadImage(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    volume = read_volume(inspect(paths))
    assert sorted(image.GetSpacing()) == pytest.approx(sorted(volume.spacing_mm), abs=1e-6)
    for index in np.random.default_rng(3).integers(0, HU.shape, (60, 3)):
        there = image.TransformPhysicalPointToIndex(volume.index_to_lps(index).tolist())
        back = image.TransformIndexToPhysicalPoint(there)
        assert back == pytest.approx(volume.index_to_lps(index), abs=1e-5)
        assert image[there] == volume.hu[tuple(index)]


def test_missing_slice(tmp_path: Path) -> None:
    paths = write(tmp_path)
    assert refusal([*paths[:2], *paths[3:]]).reason is Reason.MISSING_SLICE


def test_duplicate_position(tmp_path: Path) -> None:
    paths = write(tmp_path)
    copy = shutil.copy(paths[2], tmp_path / "again.dcm")
    change(copy, SOPInstanceUID="1.2.3.4")
    assert refusal([*paths, copy]).reason is Reason.DUPLICATE_POSITION


def test_gantry_tilt(tmp_path: Path) -> None:
    caught = refusal(write(tmp_path, affine=sheared(axial(), 14.0)))
    assert (caught.reason, "14.00 degrees" in caught.detail) == (Reason.GANTRY_TILT, True)


def test_mixed_frames_of_reference(tmp_path: Path) -> None:
    paths = write(tmp_path)
    change(paths[0], FrameOfReferenceUID="1.2.3.4")
    assert refusal(paths).reason is Reason.MIXED_FRAME_OF_REFERENCE


def test_one_uid_with_two_contents(tmp_path: Path) -> None:
    paths = write(tmp_path)
    other = shutil.copy(paths[2], tmp_path / "other.dcm")
    assert refusal([*paths, other]).reason is Reason.CONFLICTING_INSTANCES
    with pytest.raises(NotAnalysable) as caught:
        inspect_series(read_headers(paths), FEW_SLICES, ASSEMBLY, conflicting=True)
    assert caught.value.reason is Reason.CONFLICTING_INSTANCES


def test_nothing_at_all(tmp_path: Path) -> None:
    assert refusal([]).reason is Reason.TOO_FEW_SLICES


def test_file_that_is_no_dicom(tmp_path: Path) -> None:
    path = tmp_path / "note.dcm"
    path.write_text("Not an image.")
    with pytest.raises(NotAnalysable) as caught:
        read_headers([path])
    assert caught.value.reason is Reason.HEADER_UNREADABLE
    assert str(path) in str(caught.value)


def test_headers_come_without_pixels_in_the_order_asked_for(tmp_path: Path) -> None:
    paths = write(tmp_path)[::-1]
    headers = read_headers(paths)
    assert [Path(header.filename) for header in headers] == list(paths)
    assert not any("PixelData" in header for header in headers)


def test_folder_with_one_series_among_other_files(tmp_path: Path) -> None:
    """Thick slices, too; one file lies there twice; a text file and a structured report lie there as well."""
    paths = write(tmp_path / "series", HU, axial((5.0, 0.5, 0.4)), names=random.Random(9))
    shutil.copy(paths[0], tmp_path / "copy.dcm")
    (tmp_path / "README.txt").write_text("Data of a phantom.")
    report = shutil.copy(paths[1], tmp_path / "report.dcm")
    change(report, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", SOPInstanceUID="1.2.3.4")
    volume = read_folder(tmp_path)
    assert np.array_equal(volume.hu, HU)
    assert volume.affine == pytest.approx(axial((5.0, 0.5, 0.4)))


def test_folder_with_two_series_names_them(tmp_path: Path) -> None:
    write(tmp_path / "a", header=SeriesHeader(series_instance_uid="1.2.3", series_description="Thin"))
    write(tmp_path / "b", header=SeriesHeader(series_instance_uid="1.2.4", series_description="Venous"))
    with pytest.raises(NodeError) as caught:
        read_folder(tmp_path)
    for part in ("2 CT series", "1.2.3 (5 images, 'Thin'", "1.2.4 (5 images, 'Venous'"):
        assert part in str(caught.value)


@pytest.mark.parametrize("exists", [True, False])
def test_folder_without_ct_images(tmp_path: Path, exists: bool) -> None:
    with pytest.raises(NodeError, match="no CT images"):
        read_folder(tmp_path if exists else tmp_path / "absent")


def test_folder_with_a_damaged_series_is_refused(tmp_path: Path) -> None:
    write(tmp_path)[2].unlink()
    with pytest.raises(NotAnalysable) as caught:
        read_folder(tmp_path)
    assert caught.value.reason is Reason.MISSING_SLICE


def test_a_uid_that_is_said_to_be_a_name_is_none(tmp_path: Path) -> None:
    """pydicom gives it as a person's name, which equals no text."""
    for path in write(tmp_path, HU):
        data = path.read_bytes()
        assert data.count(b"\x08\x00\x18\x00UI") == 1  # (0008,0018) SOP Instance UID
        path.write_bytes(data.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x18\x00PN"))
    with pytest.raises(NotAnalysable, match="SOPInstanceUID is missing or no UID"):
        read_folder(tmp_path)
