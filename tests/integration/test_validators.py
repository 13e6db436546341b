"""SEG and SR before other people's programs: dciodvfy, dcmqi and DCMTK find no fault and read the same.

dciodvfy checks data sets against PS3.3. dcmqi's segimage2itkimage turns the SEG into a volume, which must
hold the mask that was found, voxel by voxel, at its place in the patient; its tid1500reader reads the
measurements. DCMTK's dsrdump reads the report as a document. PixelMed's validators check IODs and TID 1500.
"""

import json
import subprocess
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread

from dicom_node.encoding import encode_results as stage
from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from dicom_node.result_kinds import REPORTS
from glianet.findings import Findings
from tests.support.ct_source import PRONE, CtSource, write_ct
from tests.support.made_findings import (
    WITH_KEY_IMAGES,
    Block,
    make_context,
    make_findings,
    many_blocks,
    read_source,
)
from tests.support.validators import but_for_the_name, complaints, pixelmed_complaints, program

OBLIQUE = (0.981627183447664, 0.0, 0.1908089953765448, 0.0, 1.0, 0.0)  # 11 degrees about the y axis
TILTED = (1.0, 0.0, 0.0, 0.0, 0.9902680687415704, -0.1391731009600654)  # 8 degrees about the x axis
SMALL = CtSource(slices=12, rows=24, columns=30)
BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]
EDGES = [((0, 2), (0, 3), (0, 3)), ((10, 12), (21, 24), (27, 30))]


def blocks(*wanted: Block) -> Callable[[SourceSeries], list[Block]]:
    return lambda source: list(wanted)


@dataclass(frozen=True)
class Case:
    source: CtSource
    blocks: Callable[[SourceSeries], list[Block]] = blocks(*BLOCKS)


CHINESE = "\u738b^\u5c0f\u6771"
OPTIONAL = (
    "PatientAge",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StudyID",
    "AccessionNumber",
)
CASES = {
    "axial": Case(SMALL),
    "oblique": Case(CtSource(slices=12, rows=24, columns=30, orientation=OBLIQUE)),
    "tilted head": Case(CtSource(slices=12, rows=24, columns=30, orientation=TILTED)),
    "not square": Case(CtSource(slices=12, rows=26, columns=31, spacing=(1.25, 0.4, 0.7))),
    "prone": Case(CtSource(slices=12, rows=24, columns=30, orientation=PRONE)),
    "enhanced": Case(CtSource(slices=12, rows=24, columns=30, kind="enhanced")),
    "legacy": Case(CtSource(slices=12, rows=24, columns=30, kind="legacy")),
    "non-ASCII name": Case(
        SMALL.with_attributes(SpecificCharacterSet="ISO_IR 192", PatientName=f"Wang^XiaoDong={CHINESE}")
    ),
    "no optional attributes": Case(SMALL.with_attributes(**dict.fromkeys(OPTIONAL))),
    "at the edges": Case(SMALL, blocks(*EDGES)),
    "one lesion": Case(SMALL, blocks(BLOCKS[0])),
    "forty lesions": Case(CtSource(slices=20, rows=40, columns=48), lambda source: many_blocks(source, 40)),
}


def short_form(cases: Iterable[str], names: Container[str]) -> list[Any]:
    """The cases by name, of which those that are not among `names` run in the long form only."""
    return [pytest.param(case, marks=() if case in names else pytest.mark.stress) for case in cases]


@dataclass(frozen=True)
class Encoded:
    source: SourceSeries
    findings: Findings
    segmentation: Path
    report: Path
    key_images: list[Path]


@pytest.fixture(scope="module", params=CASES)
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("case")
    source = read_source(folder / "source", case.source)
    findings = make_findings(source, case.blocks(source))
    files = {}
    for result in encode_results(source, findings, make_context(), WITH_KEY_IMAGES).objects:
        files[result.role] = folder / f"{result.role}.dcm"
        files[result.role].write_bytes(result.data)
    pages = [file for role, file in files.items() if role.startswith("key-image")]
    return Encoded(source, findings, files["seg"], files["sr"], pages)


def test_dciodvfy_finds_no_error(encoded: Encoded) -> None:
    assert complaints(encoded.segmentation) == set()
    assert complaints(encoded.report) == set()
    for page in encoded.key_images[:3]:
        assert complaints(page) == set()


# This dciodvfy does not know Label Map Segmentation Storage (PS3.6, 2025) and so takes a segment for out of place.
UNKNOWN_LABEL_MAP = (
    "Error - Shall not be present for Referenced SOP Class that is not segmentation - attribute "
    "<ReferencedSegmentNumber>"
)
FORMS = (
    "seg-all-frames",
    "seg-each",
    "seg-labelmap",
    "sr-comprehensive",
    "sr-enhanced",
    "sr-labelmap-all-frames-enhanced",
    "presentation-state",
    "pdf",
)


@pytest.mark.parametrize("case", CASES)
def test_dciodvfy_finds_no_error_in_the_other_forms_and_kinds(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    for result in encode_results(source, findings, make_context(), FORMS).objects:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        known = {UNKNOWN_LABEL_MAP} if result.kind.startswith("sr-labelmap") else set()
        assert complaints(file) - known == set(), result.role


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


@pytest.mark.parametrize("case", short_form(CASES, ("oblique", "enhanced", "non-ASCII name")))
def test_pixelmed_finds_no_error_that_the_source_does_not_have(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    name = str(source.datasets[0].PatientName)
    for result in encode_results(source, findings, make_context(), ["seg", "seg-each", "seg-all-frames"]).objects:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        validator = "DicomSRValidator" if result.kind in REPORTS else "DicomInstanceValidator"
        assert but_for_the_name(pixelmed_complaints(validator, file), name) == [], result.role


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


def test_dciodvfy_would_find_an_error(tmp_path: Path) -> None:
    """The check above can fail: an image without its type is complained about."""
    (file,) = write_ct(tmp_path, CtSource(slices=1).with_attributes(ImageType=None))
    assert any("ImageType" in line for line in complaints(file))


@pytest.mark.parametrize("case", ["negative", "refused"])
def test_dciodvfy_accepts_reports_without_lesions(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", SMALL)
    if case == "negative":
        results = encode_results(source, make_findings(source, []), make_context(), WITH_KEY_IMAGES).objects
    else:
        results = encode_refusal_results(
            source.datasets, Reason.MISSING_SLICE, "gap 1.2 mm", make_context(), wanted=WITH_KEY_IMAGES
        ).objects
    assert [result.role for result in results] == ["sr", "key-image-1"]
    for result in results:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        assert complaints(file) == set()
    report = tmp_path / "sr.dcm"
    read = subprocess.run(
        [program("tid1500reader"), "--inputDICOM", str(report), "--outputMetadata", str(tmp_path / "sr.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stdout + read.stderr
    (group,) = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    answers = {
        item["conceptCode"]["CodeMeaning"]: item["conceptValue"] for item in group["qualitativeEvaluations"]
    }
    assert answers["Aneurysm"]["CodeMeaning"] == ("Absent" if case == "negative" else "Undetermined")


def test_dciodvfy_accepts_pages_of_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of pictures, and of a series that was not analysed, as image and as document."""

    def no_pixels(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stage, "read_volume", no_pixels)
    source, kinds = read_source(tmp_path / "source", SMALL), ("key-image", "pdf")
    findings = make_findings(source, BLOCKS)
    instead = encode_results(source, findings, make_context(), kinds, leave_out=True)
    assert set(instead.left_out) == set(kinds)
    refused = encode_refusal_results(source.datasets, Reason.MISSING_SLICE, "gap 1.2 mm", make_context(), kinds)
    for number, result in enumerate((*instead.objects, *refused.objects)):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(result.data)
        assert complaints(file) == set(), result.role


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A SEG, the SR of its lesions, a negative SR and the SR of a refusal."""
    folder = tmp_path_factory.mktemp("kinds")
    source, context = read_source(folder / "source", SMALL), make_context()
    segmentation, positive = encode_results(source, make_findings(source, BLOCKS), context).objects
    (negative,) = encode_results(source, make_findings(source, []), context).objects
    (refused,) = encode_refusal_results(source.datasets, Reason.MISSING_SLICE, "gap 1.2 mm", context).objects
    kinds = {"seg": segmentation, "positive": positive, "negative": negative, "refused": refused}
    for kind, result in kinds.items():
        (folder / kind).write_bytes(result.data)
    return {kind: folder / kind for kind in kinds}


@pytest.mark.parametrize("kind", ["seg", "positive", "negative", "refused"])
def test_pixelmed_finds_no_error(every_kind: dict[str, Path], kind: str) -> None:
    validator = "DicomInstanceValidator" if kind == "seg" else "DicomSRValidator"
    assert pixelmed_complaints(validator, every_kind[kind]) == []


def test_pixelmed_would_find_an_error(every_kind: dict[str, Path], tmp_path: Path) -> None:
    """The check above can fail: PixelMed accepts as Procedure Reported what CID 100 lists."""
    document = dcmread(every_kind["negative"])
    (procedure,) = (
        item.ConceptCodeSequence[0]
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "121058"
    )
    procedure.CodeValue, procedure.CodingSchemeDesignator = "303653007", "SCT"
    procedure.CodeMeaning = "CT of head"
    document.save_as(tmp_path / "sr.dcm")
    (complaint,) = pixelmed_complaints("DicomSRValidator", tmp_path / "sr.dcm")
    assert "not found in context group 100" in complaint


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
