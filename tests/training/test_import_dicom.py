"""Series and segmentations as the node's own encoder and highdicom write them, imported, and read by SimpleITK."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from highdicom.seg import SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_node.read_series import read_folder
from tests.support.ct_source import AXIAL, PRONE, CtSource, write_ct
from tests.support.head_series import change
from tests.training.made_series import (
    KEY,
    PATIENT,
    TELLING,
    MadeSeries,
    changed_segmentation,
    contents,
    make_other_segmentation,
    make_series,
    uids_of,
)
from training.import_dicom import import_series
from training.manifest import CasesError, ManifestCase, read_manifest, write_manifest
from training.series_identity import identify_series

OBLIQUE = (0.9659258, 0.1294095, 0.2241439, -0.1294095, 0.9914449, -0.0148177)
ON_THE_SIDE = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)


def _import(made: MadeSeries, out: Path, seg: Path | None = None, **options: object) -> ManifestCase:
    named = {"case": "case-1", "institution": "North", "key": KEY} | options
    return import_series(made.folder, seg, out, **named)  # type: ignore[arg-type]


def _points(path: Path) -> NDArray[np.float64]:
    """(N, 3) LPS mm of the voxels that are not 0, sorted, by SimpleITK."""
    image = SimpleITK.ReadImage(str(path))
    index = np.argwhere(SimpleITK.GetArrayFromImage(image))[:, ::-1]
    points = [image.TransformIndexToPhysicalPoint(tuple(map(int, one))) for one in index]
    return _sorted(np.array(points))


def _expected(made: MadeSeries) -> NDArray[np.float64]:
    index = np.argwhere(made.findings.labels)
    return _sorted(np.c_[index, np.ones(len(index))] @ made.findings.affine[:3].T)


def _sorted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[np.lexsort(np.round(points, 2).T)]


@pytest.fixture(scope="module")
def axial(tmp_path_factory: pytest.TempPathFactory) -> MadeSeries:
    return make_series(tmp_path_factory.mktemp("axial"))


@pytest.mark.parametrize(
    ("orientation", "kind"),
    [(AXIAL, "classic"), (PRONE, "classic"), (OBLIQUE, "classic"), (ON_THE_SIDE, "classic"), (OBLIQUE, "enhanced")],
)
def test_the_mask_lies_where_it_lay_in_the_patient(
    tmp_path: Path, orientation: tuple[float, ...], kind: str
) -> None:
    made = make_series(tmp_path / "in", orientation, kind)
    case = _import(made, tmp_path / "out", made.seg)
    assert case.label
    np.testing.assert_allclose(_points(case.label), _expected(made), atol=2e-3)
    volume = read_folder(made.folder)
    image = SimpleITK.ReadImage(str(case.image))
    hu = SimpleITK.GetArrayFromImage(image)
    np.testing.assert_array_equal(hu, volume.hu)
    corner = image.TransformIndexToPhysicalPoint([size - 1 for size in image.GetSize()])
    np.testing.assert_allclose(corner, volume.index_to_lps(np.array(volume.shape) - 1), atol=2e-3)


def test_the_row_tells_age_sex_and_a_pseudonym(axial: MadeSeries, tmp_path: Path) -> None:
    case = _import(axial, tmp_path, axial.seg, split="test", ruptured="yes")
    pseudonym = "patient-946f418cc614ae06"  # openssl dgst -sha256 -hmac KEY, of "patient", a zero byte and the ID
    assert case == ManifestCase(
        "case-1", tmp_path / "case-1/image.nii.gz", tmp_path / "case-1/label.nii.gz", pseudonym, "North", "test", 90.0,
        "F", "yes",
    )  # fmt: skip
    assert _import(axial, tmp_path, case="case-2", key=KEY[::-1]).patient != pseudonym
    assert {path.name for path in tmp_path.iterdir()} == {"case-1", "case-2"}


def test_without_a_segmentation_nothing_or_no_aneurysm_is_known(axial: MadeSeries, tmp_path: Path) -> None:
    assert _import(axial, tmp_path).label is None
    assert {path.name for path in (tmp_path / "case-1").iterdir()} == {"image.nii.gz"}
    negative = _import(axial, tmp_path, case="case-2", negative=True)
    assert negative.label and not SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(negative.label))).any()
    with pytest.raises(CasesError, match="it is called negative, but has a segmentation"):
        _import(axial, tmp_path, axial.seg, case="case-3", negative=True)


@pytest.mark.parametrize(("kind", "files"), [("classic", 10), ("enhanced", 1)])
def test_nothing_that_is_written_tells_of_the_patient(tmp_path: Path, kind: str, files: int) -> None:
    made = make_series(tmp_path / "in", kind=kind)
    before = {path: (sha256(stored).digest(), path.stat().st_mtime_ns) for path, stored in contents(tmp_path / "in")}
    out = tmp_path / "out"
    write_manifest(out / "manifest.csv", [_import(made, out, made.seg, keep_dicom=True)])
    telling = [text.encode() for text in {*TELLING, *uids_of(tmp_path / "in")}]
    written = list(contents(out))
    assert len(written) == 3 + files + 1  # image, label, manifest; images and segmentation
    for path, stored in written:
        for text in telling:
            assert text not in stored, f"{path} holds {text!r}"
            assert text.decode() not in str(path.relative_to(out))
    assert read_manifest(out / "manifest.csv")[0].age == 90
    after = {path: (sha256(stored).digest(), path.stat().st_mtime_ns) for path, stored in contents(tmp_path / "in")}
    assert after == before


def test_the_telling_texts_are_in_what_is_read(axial: MadeSeries) -> None:
    """Otherwise the test before this one could not fail."""
    stored = b"".join(content for _, content in contents(axial.folder.parent))
    assert all(text.encode() in stored for text in {*TELLING, *uids_of(axial.folder.parent)})


def test_frames_are_placed_by_position_not_by_order(axial: MadeSeries, tmp_path: Path) -> None:
    def backwards(seg: Dataset) -> None:
        size = seg.Rows * seg.Columns // 8
        frames = [seg.PixelData[first : first + size] for first in range(0, size * seg.NumberOfFrames, size)]
        seg.PixelData = b"".join(frames[::-1])
        seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[::-1]

    case = _import(axial, tmp_path, changed_segmentation(axial, backwards))
    assert case.label
    np.testing.assert_allclose(_points(case.label), _expected(axial), atol=2e-3)


def test_a_corrected_segmentation_counts_as_it_is(axial: MadeSeries, tmp_path: Path) -> None:
    values = axial.source.geometry.to_stored(axial.findings.labels > 0).astype(np.uint8)
    values[4, 20, 30] = 1
    case = _import(axial, tmp_path, make_other_segmentation(axial, values))
    assert case.label
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case.label)))
    np.testing.assert_array_equal(axial.source.geometry.to_stored(label), values)
    assert label.sum() == (axial.findings.labels > 0).sum() + 1


def test_fractions_count_from_one_half_on(axial: MadeSeries, tmp_path: Path) -> None:
    values = np.zeros((10, 24, 32))
    values[3, 4, 5:8] = 124 / 255, 128 / 255, 1
    seg = make_other_segmentation(axial, values, SegmentationTypeValues.FRACTIONAL)
    case = _import(axial, tmp_path, seg)
    assert case.label
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(case.label)))
    assert np.argwhere(axial.source.geometry.to_stored(label)).tolist() == [[3, 4, 6], [3, 4, 7]]


@pytest.mark.parametrize("kind", [SegmentationTypeValues.BINARY, SegmentationTypeValues.LABELMAP])
def test_segments_are_united_or_chosen(axial: MadeSeries, tmp_path: Path, kind: SegmentationTypeValues) -> None:
    values = np.zeros((10, 24, 32), np.uint8)
    values[3, 4, 5], values[3, 9, 9] = 1, 2
    seg = make_other_segmentation(axial, values, kind, segments=2)
    both, second = _import(axial, tmp_path, seg), _import(axial, tmp_path, seg, case="case-2", segments=[2])
    assert both.label and second.label
    assert len(_points(both.label)) == 2
    assert len(_points(second.label)) == 1
    with pytest.raises(CasesError, match="it has no segment 3; it has 1: Aneurysm; 2: Aneurysm"):
        _import(axial, tmp_path, seg, case="case-3", segments=[1, 3])


def _other_kind(seg: Dataset) -> None:
    seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeMeaning = "Artery"


def _coarser(seg: Dataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["1.0", "1.0"]


def _half_a_voxel_off(seg: Dataset) -> None:
    for groups in seg.PerFrameFunctionalGroupsSequence:
        x, y, z = groups.PlanePositionSequence[0].ImagePositionPatient
        groups.PlanePositionSequence[0].ImagePositionPatient = [x + 0.25, y, z]


def _outside(seg: Dataset) -> None:
    for groups in seg.PerFrameFunctionalGroupsSequence:
        x, y, z = groups.PlanePositionSequence[0].ImagePositionPatient
        groups.PlanePositionSequence[0].ImagePositionPatient = [x, y, z + 6]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda seg: setattr(seg, "PatientID", "QX-77124"), "another patient"),
        (lambda seg: setattr(seg, "FrameOfReferenceUID", "1.2.3"), "another frame of reference"),
        (lambda seg: setattr(seg.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"), "another series"),
        (_other_kind, r"different kinds \(1: Aneurysm; 2: Artery\)"),
        (_coarser, "lies off the voxels"),
        (_half_a_voxel_off, "lies off the voxels"),
        (_outside, "outside the series"),
    ],
)
def test_a_segmentation_that_does_not_belong_is_refused(
    axial: MadeSeries, tmp_path: Path, how: object, told: str
) -> None:
    with pytest.raises(CasesError, match=told):
        _import(axial, tmp_path, changed_segmentation(axial, how))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_slices_drawn_further_apart_are_refused(axial: MadeSeries, tmp_path: Path) -> None:
    values = np.zeros((10, 24, 32), np.uint8)
    values[1:8:2, 4:8, 4:8] = 1
    with pytest.raises(CasesError, match="drawn on thicker ones"):
        _import(axial, tmp_path, make_other_segmentation(axial, values))


def test_what_is_no_segmentation_is_refused(axial: MadeSeries, tmp_path: Path) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM")
    for path in (axial.source.paths[0], text):
        with pytest.raises(CasesError, match="cannot be used as a segmentation"):
            _import(axial, tmp_path / "out", path)


def test_nothing_is_written_among_the_dicom_files(axial: MadeSeries, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(axial.folder)
    for out in (axial.folder, axial.folder / "cases", tmp_path / "link"):
        with pytest.raises(CasesError, match="would be written among the DICOM files"):
            _import(axial, out)
    with pytest.raises(CasesError, match="would be written among the DICOM files"):
        _import(axial, axial.folder.parent, case="ct")


@pytest.mark.parametrize("case", ["", "..", "a/b", ".hidden", "a" * 65])
def test_a_case_has_a_name_that_is_one(axial: MadeSeries, tmp_path: Path, case: str) -> None:
    with pytest.raises(CasesError, match="cannot name a case"):
        _import(axial, tmp_path / "out", case=case)


def test_a_case_that_is_there_stays(axial: MadeSeries, tmp_path: Path) -> None:
    case = _import(axial, tmp_path)
    before = case.image.read_bytes()
    with pytest.raises(CasesError, match="is there already; delete it"):
        _import(axial, tmp_path, axial.seg)
    assert case.image.read_bytes() == before and replace(case, label=None) == case


def test_a_series_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    made = make_series(tmp_path / "in")
    made.source.paths[5].unlink()
    with pytest.raises(CasesError, match=r"the series cannot be used: .*missing-slice"):
        _import(made, tmp_path / "out", made.seg)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("keyword", "value", "told"),
    [
        ("BurnedInAnnotation", "YES", "text is burned into its pixels"),
        ("PatientID", "", "no Patient ID"),
        ("SeriesInstanceUID", "1.2.3.4.5", "holds 2 CT series"),
        ("PatientID", "QX-1", "several patients"),
    ],
)
def test_whose_series_it_is_must_be_clear(tmp_path: Path, keyword: str, value: str, told: str) -> None:
    files = write_ct(tmp_path, CtSource(slices=2))
    for file in files if value == "" else files[:1]:
        change(file, lambda image: setattr(image, keyword, value))
    with pytest.raises(CasesError, match=told):
        identify_series(tmp_path)


@pytest.mark.parametrize(
    ("attributes", "age"),
    [
        ({"PatientAge": "064Y"}, 64.0),
        ({"PatientAge": "018M"}, 1.0),
        ({"PatientAge": "089Y"}, 89.0),
        ({"PatientAge": "101Y"}, 90.0),
        ({"PatientBirthDate": "19610111"}, 64.0),
        ({"PatientBirthDate": "19610110"}, 65.0),
        ({"PatientBirthDate": ""}, None),
        ({"PatientBirthDate": "20300101"}, None),
    ],
)
def test_ages_are_whole_years_up_to_90(tmp_path: Path, attributes: dict[str, str], age: float | None) -> None:
    write_ct(tmp_path, CtSource(slices=1).with_attributes(**PATIENT | attributes))
    assert identify_series(tmp_path).age == age
