"""Voxel scores and risk map before other people's programs: dciodvfy, PixelMed and dcmqi, as SEG and SR are.

dcmqi's segimage2itkimage turns a FRACTIONAL SEG into a volume for each segment, with the stored values; its
paramap2itkimage turns the Parametric Map into one of float32. PixelMed knows no Parametric Map.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from dicom_node.encoding.part10 import to_part10
from dicom_node.encoding.probability_map import encode_probability
from dicom_node.encoding.risk_map import encode_risk_map
from glianet.findings import Findings
from glianet.scores import RiskGrid
from tests.support.ct_source import FEET_FIRST, CtSource
from tests.support.encoded_cases import CASES, Case, short_form
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.validators import but_for_the_name, complaints, pixelmed_complaints, program

HEAD_TO_FOOT = Case(CtSource(slices=12, rows=24, columns=30, orientation=FEET_FIRST))
NAMES = ("axial", "oblique", "not square", "prone", "enhanced", "non-ASCII name", "head to foot")
"""Those of the short form; the rest is of `make stress`."""
MAP_CASES = {**CASES, "head to foot": HEAD_TO_FOOT}
RISK = RiskGrid(
    np.random.default_rng(3).random((3, 3, 3), np.float32), ((-90, -86, 2), (-85, -75, 5), (-80, -75, 10))
)


@dataclass(frozen=True)
class Encoded:
    image: Path
    findings: Findings
    scores: np.ndarray
    probability: Path
    risk_map: Path
    risk_segmentation: Path


@pytest.fixture(scope="module", params=short_form(MAP_CASES, NAMES))
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    case, folder = MAP_CASES[request.param], tmp_path_factory.mktemp("case")
    source, context = read_source(folder / "source", case.source), make_context()
    findings = make_findings(source, case.blocks(source))
    scores = np.random.default_rng(7).integers(128, 256, findings.labels.shape).astype(np.uint8)
    datasets = {
        "probability": encode_probability(source, findings, scores, context),
        "risk_map": encode_risk_map(source, findings, RISK, context),
        "risk_segmentation": encode_risk_map(source, findings, RISK, context, as_segmentation=True),
    }
    for name, dataset in datasets.items():
        (folder / name).write_bytes(to_part10(name, dataset).data)
    image = next(iter((folder / "source").iterdir()))
    return Encoded(image, findings, scores, *(folder / name for name in datasets))


def test_dciodvfy_finds_no_error(encoded: Encoded) -> None:
    for file in (encoded.probability, encoded.risk_map, encoded.risk_segmentation):
        assert complaints(file) == set()


def test_dciodvfy_would_find_an_error(encoded: Encoded, tmp_path: Path) -> None:
    dataset = dcmread(encoded.risk_map)
    del dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].RealWorldValueSlope
    dataset.save_as(tmp_path / "map.dcm")
    assert any("RealWorldValueSlope" in line for line in complaints(tmp_path / "map.dcm"))


def test_pixelmed_finds_no_error_that_is_not_the_sources(encoded: Encoded) -> None:
    name = str(dcmread(encoded.image).PatientName)
    for file in (encoded.probability, encoded.risk_segmentation):
        assert but_for_the_name(pixelmed_complaints("DicomInstanceValidator", file), name) == []


def convert(tool: str, file: Path, folder: Path) -> list[Path]:
    command = [program(tool), "--inputDICOM", str(file), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return sorted(folder.glob("*.nrrd"))


def read(file: Path, findings: Findings) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """The values (N,) of a volume, and the voxels (k, j, i) of the findings' grid at whose centres they lie."""
    image = SimpleITK.ReadImage(str(file))
    values = SimpleITK.GetArrayFromImage(image)
    steps = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    points = np.argwhere(np.ones(values.shape, bool))[:, ::-1] @ steps.T + image.GetOrigin()
    inverse = np.linalg.inv(findings.affine)
    voxels = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    centres = voxels @ findings.affine[:3, :3].T + findings.affine[:3, 3]
    assert np.abs(points - centres).max() < 1e-3  # mm
    return values.ravel(), tuple(voxels.T)


def test_segimage2itkimage_gives_the_scores_back_in_their_place(encoded: Encoded, tmp_path: Path) -> None:
    findings = encoded.findings
    files = convert("segimage2itkimage", encoded.probability, tmp_path)
    assert len(files) == len(findings.lesions)
    for file in files:
        values, voxels = read(file, findings)
        found = np.zeros(findings.labels.shape, np.uint8)
        found[voxels] = values
        expected = np.where(findings.labels == int(file.stem), encoded.scores, 0)
        np.testing.assert_array_equal(found, expected)


def test_paramap2itkimage_gives_the_risks_back_in_their_place(encoded: Encoded, tmp_path: Path) -> None:
    (file,) = convert("paramap2itkimage", encoded.risk_map, tmp_path)
    values, voxels = read(file, encoded.findings)
    assert values.dtype == np.float32 and len(np.unique(values)) > 3
    expected = RISK.to_map(encoded.findings.labels.shape)[voxels]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)


def test_segimage2itkimage_gives_the_risks_back_in_their_place(encoded: Encoded, tmp_path: Path) -> None:
    (file,) = convert("segimage2itkimage", encoded.risk_segmentation, tmp_path)
    values, voxels = read(file, encoded.findings)
    expected = RISK.to_map(encoded.findings.labels.shape)[voxels] * 255
    assert np.abs(values - expected).max() <= 0.5001
