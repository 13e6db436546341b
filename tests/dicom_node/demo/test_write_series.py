"""The synthetic series is DICOM as other people's programs understand it."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.demo.series_header import SeriesHeader
from tests.support.written_series import axial, random_hu, turned, write

HU = random_hu((3, 40, 48))
FOREIGN = SeriesHeader(patient_name="Müller^Øyvind=山田^太郎", study_description="Schädel-CTA")


def validate(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    program = Path(sys.executable).with_name("dciodvfy")
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    assert done.stderr, "dciodvfy names at least the IOD"
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("form", ["single-frame", "enhanced", "legacy"])
@pytest.mark.parametrize("header", [SeriesHeader(), FOREIGN], ids=["plain", "foreign"])
def test_dciodvfy_finds_no_error(tmp_path: Path, form: str, header: SeriesHeader) -> None:
    for path in write(tmp_path, HU, header=header, form=form):
        assert validate(path) == []


@pytest.mark.parametrize(
    "storage",
    [
        {"transfer_syntax_uid": RLELossless},
        {"transfer_syntax_uid": JPEGLSLossless},
        {"transfer_syntax_uid": JPEG2000Lossless},
        {"patient_position": "HFP", "padding": -2000},
        {"signed": False, "bits_stored": 12},
    ],
)
def test_dciodvfy_finds_no_error_in_other_storage(tmp_path: Path, storage: dict[str, Any]) -> None:
    assert validate(write(tmp_path, HU, turned(axial(), "x", 9.0), **storage)[0]) == []


def test_names_in_any_script_are_kept(tmp_path: Path) -> None:
    dataset = dcmread(write(tmp_path, header=FOREIGN)[0])
    assert (dataset.PatientName, dataset.StudyDescription) == (
        FOREIGN.patient_name,
        FOREIGN.study_description,
    )


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, HU, names=random.Random(3)) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.name for path in first] == [path.name for path in second]


def test_position_and_orientation_stand_where_dicom_wants_them(tmp_path: Path) -> None:
    """Prone: the first stored voxel is the rearmost left one of the patient, (-10 + 47 * 0.4, -20 + 39 * 0.5)."""
    dataset = dcmread(write(tmp_path, HU, axial((0.6, 0.5, 0.4), (-10, -20, 30)), patient_position="HFP")[1])
    assert [float(value) for value in dataset.ImagePositionPatient] == pytest.approx([8.8, -0.5, 30.6])
    assert [float(value) for value in dataset.ImageOrientationPatient] == [-1, 0, 0, 0, -1, 0]
    assert [float(value) for value in dataset.PixelSpacing] == [0.5, 0.4]
    assert np.array_equal(dataset.pixel_array - 1024, HU[1, ::-1, ::-1])


def test_given_uids_are_used(tmp_path: Path) -> None:
    header = SeriesHeader(
        study_instance_uid="1.2.3", series_instance_uid="1.2.4", frame_of_reference_uid="1.2.5"
    )
    dataset = dcmread(write(tmp_path, header=header)[0])
    assert (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID) == (
        "1.2.3",
        "1.2.4",
        "1.2.5",
    )


def test_values_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit into 12 stored bits"):
        write(tmp_path, np.full((2, 4, 4), 3072, np.int16), bits_stored=12, signed=False)
