"""SEG and SR before other people's readers: dcmqi and DCMTK find no fault and read the same.

dcmqi's segimage2itkimage turns the SEG into a volume, which must hold the mask that was found, voxel by voxel, at its
place in the patient; its tid1500reader reads the measurements. DCMTK's dsrdump reads the report as a document.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from dicom_node.encoding.encode_results import encode_results
from glianet.findings import Findings
from tests.support.encoded_cases import BLOCKS, CASES, CHINESE, FORMS, SMALL, Encoded, encode_case
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.validators import pixelmed_complaints, program


@pytest.fixture(scope="module", params=CASES)
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return encode_case(CASES[request.param], tmp_path_factory.mktemp("case"))


def test_segimage2itkimage_gives_the_mask_back_in_its_place(encoded: Encoded, tmp_path: Path) -> None:
    segments = read_by_dcmqi(encoded.segmentation, tmp_path)
    assert len(segments) == len(encoded.findings.lesions)
    for number, points in enumerate(segments, start=1):
        check_lesion(points, encoded.findings, number)


@pytest.mark.parametrize("kind", ["seg-each", "seg-all-frames"])
@pytest.mark.parametrize("case", [name for name in CASES if name != "forty lesions"])
def test_segimage2itkimage_gives_the_other_forms_back_too(tmp_path: Path, case: str, kind: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    objects = [one for one in encode_results(source, findings, make_context(), [kind]).objects if one.kind == kind]
    segments = []
    for one in objects:
        file = tmp_path / f"{one.role}.dcm"
        file.write_bytes(one.data)
        segments += read_by_dcmqi(file, tmp_path / one.role)
    assert len(segments) == len(findings.lesions)
    for number, points in enumerate(segments, start=1):
        check_lesion(points, findings, number)


@pytest.mark.parametrize("case", CASES)
def test_segimage2itkimage_gives_label_maps_back_too(tmp_path: Path, case: str) -> None:
    """As one volume with the numbers of the lesions."""
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    labelmap, _ = encode_results(source, findings, make_context(), ["seg-labelmap"]).objects
    file = tmp_path / "seg.dcm"
    file.write_bytes(labelmap.data)
    (image,) = images_by_dcmqi(file, tmp_path / "read")
    values = SimpleITK.GetArrayFromImage(image)
    for lesion in findings.lesions:
        check_lesion(points_of(image, values == lesion.number), findings, lesion.number)
    assert set(np.unique(values)) <= {0, *(lesion.number for lesion in findings.lesions)}


def read_by_dcmqi(segmentation: Path, folder: Path) -> list[np.ndarray]:
    """For each segment, (voxels, 3) LPS mm of those that are set."""
    images = images_by_dcmqi(segmentation, folder)
    return [points_of(image, SimpleITK.GetArrayFromImage(image) > 0) for image in images]


def images_by_dcmqi(segmentation: Path, folder: Path) -> list[SimpleITK.Image]:
    """The volumes that dcmqi makes, by their number."""
    folder.mkdir(exist_ok=True)
    command = [program("segimage2itkimage"), "--inputDICOM", str(segmentation)]
    command += ["--outputDirectory", str(folder), "--outputType", "nrrd"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    names = sorted(folder.glob("*.nrrd"), key=lambda file: int(file.stem))
    return [SimpleITK.ReadImage(str(name)) for name in names]


def points_of(image: SimpleITK.Image, chosen: np.ndarray) -> np.ndarray:
    """(voxels, 3) LPS mm of the voxels (k, j, i) that are chosen."""
    indices = np.argwhere(chosen)[:, ::-1]
    return np.array([image.TransformIndexToPhysicalPoint([int(n) for n in index]) for index in indices])


def check_lesion(points: np.ndarray, findings: Findings, number: int) -> None:
    found = np.argwhere(findings.labels == number)
    expected = found @ findings.affine[:3, :3].T + findings.affine[:3, 3]
    assert len(points) == len(expected)
    assert _farthest_from_nearest(points, expected) < 1e-3  # mm


def _farthest_from_nearest(points: np.ndarray, expected: np.ndarray) -> float:
    distances = np.linalg.norm(points[:, None] - expected[None], axis=2)
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def test_tid1500reader_reads_the_measurements(encoded: Encoded) -> None:
    lesions = encoded.findings.lesions
    check_measurements(encoded.report, encoded.findings, [lesion.number for lesion in lesions])


@pytest.mark.parametrize("kind", ["sr-comprehensive", "sr-enhanced", "sr-each", "sr-labelmap"])
def test_other_reports_hold_before_pixelmed_and_tid1500reader(tmp_path: Path, kind: str) -> None:
    source = read_source(tmp_path / "source", SMALL)
    findings = make_findings(source, BLOCKS)
    *_, report = encode_results(source, findings, make_context(), [kind]).objects
    file = tmp_path / "sr.dcm"
    file.write_bytes(report.data)
    assert pixelmed_complaints("DicomSRValidator", file) == []
    numbers = [1, 1] if kind == "sr-each" else [1, 2]
    check_measurements(file, findings, numbers)


def check_measurements(report: Path, findings: Findings, segments: list[int]) -> None:
    """segments: of each lesion, the number that it has in its Segmentation."""
    file = report.with_suffix(".json")
    command = [program("tid1500reader"), "--inputDICOM", str(report), "--outputMetadata", str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    groups = json.loads(file.read_text())["Measurements"]
    for group, lesion, segment in zip(groups, findings.lesions, segments, strict=True):
        assert group["TrackingIdentifier"] == f"Aneurysm candidate {lesion.number}"
        assert group["ReferencedSegment"] == segment
        values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        assert values["118565006"] == pytest.approx(lesion.volume_mm3, abs=0.005)
        assert values["L0JK"] == pytest.approx(lesion.maximum_diameter_mm, abs=0.005)
        assert values["SCORE-MEAN"] == 71.0
        assert values["SCORE-MAX"] == 93.4
        assert values["RISK-CENTRE"] == 80.5


def test_dsrdump_reads_the_report(encoded: Encoded) -> None:
    finished = subprocess.run(
        [program("dsrdump"), "+Pl", "+Pc", str(encoded.report)], capture_output=True, check=False
    )
    text = finished.stdout.decode(errors="replace")
    assert finished.returncode == 0, finished.stderr
    assert b"E: " not in finished.stderr and b"F: " not in finished.stderr, finished.stderr
    assert text.count('Measurement Group")=SEPARATE') == len(encoded.findings.lesions)
    assert "For research use only." in text
    assert text.index("Summary") < text.index("Imaging Measurements")
    assert CHINESE in text or encoded.source.datasets[0].PatientName == "Test^Case"


@pytest.mark.parametrize("case", ["axial", "non-ASCII name", "enhanced"])
def test_dcmdump_reads_every_kind_without_a_word_of_error(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    for result in encode_results(source, findings, make_context(), (*FORMS, "key-image")).objects:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        finished = subprocess.run([program("dcmdump"), str(file)], capture_output=True, check=False)
        assert (finished.returncode, finished.stderr) == (0, b""), result.role
        assert result.sop_instance_uid.encode() in finished.stdout
