"""De-identified copies, read by pydicom and by the node's reader."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.read_series import read_folder
from tests.support.head_series import change
from tests.training.made_series import KEY, MadeSeries, make_series
from training.deidentify import deidentify
from training.manifest import CasesError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSeries:
    return make_series(tmp_path_factory.mktemp("in"))


def test_copies_are_the_same_series_of_nobody(made: MadeSeries, tmp_path: Path) -> None:
    copies = deidentify([*made.source.paths, made.seg], tmp_path, KEY, "patient-1")
    before, after = read_folder(made.folder), read_folder(tmp_path)
    np.testing.assert_array_equal(after.hu, before.hu)
    np.testing.assert_array_equal(after.affine, before.affine)
    image = dcmread(copies[0])
    assert (image.PatientID, str(image.PatientName), image.PatientSex) == ("patient-1", "patient-1", "")
    assert "PatientAge" not in image and "SeriesDescription" not in image and "ImageComments" not in image
    assert image.PatientIdentityRemoved == "YES"
    assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert not [element for element in image.iterall() if element.tag.is_private or element.tag.group == 0x6000]
    assert image.preamble == bytes(128)
    assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_references_still_point_to_what_they_did(made: MadeSeries, tmp_path: Path) -> None:
    *images, seg = map(dcmread, deidentify([*made.source.paths, made.seg], tmp_path, KEY, "patient-1"))
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert seg.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    number = {image.SOPInstanceUID: k for k, image in enumerate(images)}
    original = {uid: k for k, uid in enumerate(dcmread(path).SOPInstanceUID for path in made.source.paths)}
    assert len(number) == 10
    assert [number[item.ReferencedSOPInstanceUID] for item in series.ReferencedInstanceSequence] == [
        original[item.ReferencedSOPInstanceUID]
        for item in dcmread(made.seg).ReferencedSeriesSequence[0].ReferencedInstanceSequence
    ]


def test_the_key_decides_the_uids(made: MadeSeries, tmp_path: Path) -> None:
    uids = []
    for number, key in enumerate((KEY, KEY, KEY[::-1])):
        (copy,) = deidentify(made.source.paths[:1], tmp_path / str(number), key, "patient-1")
        uids.append(dcmread(copy).SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


def _name_in_the_model(image: Dataset) -> None:
    image.ManufacturerModelName = "Scanner of Leckmann"


def _overlay_in_the_pixels(image: Dataset) -> None:
    del image[0x6000, 0x3000]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (_name_in_the_model, "something of the patient would be left in ManufacturerModelName"),
        (_overlay_in_the_pixels, "an overlay lies in the bits of its pixels"),
    ],
)
def test_what_the_profile_would_leave_is_refused(tmp_path: Path, how: object, told: str) -> None:
    made = make_series(tmp_path / "in")
    change(made.source.paths[0], how)  # type: ignore[arg-type]
    with pytest.raises(CasesError, match=told):
        deidentify(made.source.paths[:1], tmp_path / "out", KEY, "patient-1")
    assert list((tmp_path / "out").iterdir()) == []
