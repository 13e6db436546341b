import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from glianet.engine import EngineSettings
from glianet.errors import ReaderError
from glianet.findings import Findings
from glianet.lesions import LesionSettings
from glianet.model import ComputeSettings
from glianet.nifti import read_nifti, write_nifti
from glianet.predict import Prediction, predict
from glianet.volume import Volume
from tests.glianet.formulas import formula_volume

NODE_WAY = EngineSettings(threshold=0.5)
SHAPE = (40, 44, 48)
AFFINE = np.array([[0, 0, 0.5, -10], [0, 0.5, 0, 20], [0.75, 0, 0, 30], [0, 0, 0, 1.0]])


class _Reader:
    """Entry point of a reader that gives `volume`, or raises it."""

    def __init__(self, volume: Volume | Exception) -> None:
        self.volume = volume

    def load(self) -> "_Reader":
        return self

    def __call__(self, folder: Path) -> Volume:
        if isinstance(self.volume, Exception):
            raise self.volume
        return self.volume


class _ReaderProblem(Exception):
    what = "two series are in one folder"
    advice = "Give one series"


def _predict(
    image: Path, folder: Path, weights: Path, engine: EngineSettings = NODE_WAY, probability: bool = False
) -> Prediction:
    """Formula weights take much of the volume for an aneurysm."""
    return predict(
        image,
        folder,
        weights=[weights],
        compute=ComputeSettings("cpu", "torch"),
        engine=engine,
        lesions=LesionSettings(),
        probability=probability,
    )


def _write_image(path: Path, orientation: str) -> None:
    image = SimpleITK.GetImageFromArray(formula_volume(SHAPE, seed=9))
    image.SetSpacing((0.5, 0.5, 0.75))
    image.SetOrigin((-10, 20, 30))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def _check_files(findings: Findings, folder: Path) -> None:
    mask = read_nifti(folder / "mask.nii.gz")
    np.testing.assert_array_equal(mask.hu, findings.labels)
    np.testing.assert_allclose(mask.affine, AFFINE, atol=1e-6)
    document = json.loads((folder / "findings.json").read_text())
    assert [lesion["voxels"] for lesion in document["lesions"]] == [
        int((findings.labels == lesion.number).sum()) for lesion in findings.lesions
    ]


def test_mask_and_findings_are_what_is_written_and_an_older_risk_map_goes(
    formula_weights: Path, tmp_path: Path
) -> None:
    _write_image(tmp_path / "cta.nii.gz", "LPS")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "risk.nii.gz").write_text("of an earlier run")
    engine = EngineSettings(threshold=0.5, exact=True)
    _predict(tmp_path / "cta.nii.gz", tmp_path / "results", formula_weights, engine)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["findings.json", "mask.nii.gz"]


def test_a_nifti_file_gives_four_files_on_its_own_grid(formula_weights: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "cta.nii.gz", tmp_path / "results" / "case"
    _write_image(source, "RAS")
    prediction = _predict(source, folder, formula_weights, EngineSettings(risk_overlap=0.84), probability=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "findings.json",
        "mask.nii.gz",
        "probability.nii.gz",
        "risk.nii.gz",
    ]
    assert set(prediction.files) == set(folder.iterdir())
    assert len(prediction.findings.lesions) > 0
    _check_files(prediction.findings, folder)
    stored = SimpleITK.ReadImage(str(source))
    for name in ("mask", "probability", "risk"):
        result = SimpleITK.ReadImage(str(folder / f"{name}.nii.gz"))
        assert result.GetSize() == stored.GetSize()
        np.testing.assert_allclose(result.GetOrigin(), stored.GetOrigin(), atol=1e-5)
        np.testing.assert_allclose(result.GetDirection(), stored.GetDirection(), atol=1e-6)
    mask, probability, risk = (
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / f"{name}.nii.gz")))
        for name in ("mask", "probability", "risk")
    )
    assert probability.dtype == risk.dtype == np.float32
    assert (probability[mask > 0] > 0.5).all() and np.unique(risk).size == 1 and 0 < risk.min() < 1


def test_a_folder_is_read_by_the_registered_reader(
    formula_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []

    def entry_points(**criteria: str) -> list[_Reader]:
        asked.append(criteria)
        return [_Reader(Volume(formula_volume(SHAPE, seed=9), AFFINE))]

    monkeypatch.setattr("glianet.predict.entry_points", entry_points)
    prediction = _predict(tmp_path, tmp_path / "results", formula_weights)
    assert asked == [{"group": "glianet.readers", "name": "dicom"}]
    _check_files(prediction.findings, tmp_path / "results")


@pytest.mark.parametrize(
    ("readers", "message"),
    [
        ([], "no reader for DICOM folders is installed"),
        ([_Reader(_ReaderProblem())], "two series are in one folder. Give one series"),
    ],
)
def test_a_folder_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: list[_Reader], message: str
) -> None:
    monkeypatch.setattr("glianet.predict.entry_points", lambda **criteria: readers)
    with pytest.raises(ReaderError, match=message) as caught:
        _predict(tmp_path, tmp_path / "results", tmp_path / "weights")
    assert caught.value.where == str(tmp_path)
    assert not (tmp_path / "results").exists()


def test_a_defect_of_the_reader_passes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glianet.predict.entry_points", lambda **criteria: [_Reader(ZeroDivisionError())])
    with pytest.raises(ZeroDivisionError):
        _predict(tmp_path, tmp_path / "results", tmp_path / "weights")


def test_a_volume_without_contrast_is_told_of(
    tmp_path: Path, formula_weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values from 0 to 1, as a normalised image has them, give no finding and no error: the warning says why."""
    for name, brightest in (("normalised", 1), ("cta", 150)):
        hu = np.full((20, 20, 20), -5, np.int16)
        hu[0, 0, 0] = brightest
        write_nifti(tmp_path / f"{name}.nii.gz", hu, np.eye(4))
        _predict(tmp_path / f"{name}.nii.gz", tmp_path / name, formula_weights)
    assert [record.getMessage() for record in caplog.records if "CTA" in record.getMessage()] == [
        f"{tmp_path / 'normalised.nii.gz'}: no voxel reaches 150 HU; is it a CTA in Hounsfield units?"
    ]


MEMORY_PROGRAM = """
import sys
from pathlib import Path
import torch
from glianet.benchmark.memory import peak_bytes, resident_bytes
from glianet.cli import predict

before = resident_bytes()
maps = len(sys.argv) > 3
predict(Path(sys.argv[1]), Path(sys.argv[2]), device="cpu", probability=maps, risk_map=maps)
print(peak_bytes() - before)
"""


def _peak_gb(command: list[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1e9


@pytest.mark.slow
@pytest.mark.parametrize(("slices", "maps", "bound_gb"), [(400, ["all maps"], 2.0), (1310, [], 3.0)])
def test_memory_of_predict_on_a_whole_scan_stays_in_its_bound(
    tmp_path: Path, slices: int, maps: list[str], bound_gb: float
) -> None:
    """The command on slices of 512 x 512, file and results included, above the interpreter with torch imported.

    The least of up to three runs: what the allocator and the kernel's large pages add differs from run to run.
    """
    hu = np.full((slices, 512, 512), -1000, np.int16)
    hu[160:240, 210:280, 210:280] = 40
    hu[200, 250:254, 250:254] = 700
    write_nifti(tmp_path / "cta.nii", hu, np.diag([0.5, 0.45, 0.45, 1.0]))
    command = [sys.executable, "-c", MEMORY_PROGRAM, str(tmp_path / "cta.nii"), str(tmp_path / "out"), *maps]
    peaks = (_peak_gb(command) for _ in range(3))
    assert any(peak < bound_gb for peak in peaks)
    assert (tmp_path / "out" / "risk.nii.gz").exists() == bool(maps)
