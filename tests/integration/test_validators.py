"""SEG and SR before other people's validators: dciodvfy and PixelMed's find no fault.

dciodvfy checks data sets against PS3.3. PixelMed's validators check IODs and TID 1500.
"""

import json
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.encoding import encode_results as stage
from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.reasons import Reason
from dicom_node.result_kinds import REPORTS
from tests.support.ct_source import CtSource, write_ct
from tests.support.encoded_cases import BLOCKS, CASES, FORMS, SMALL, Encoded, encode_case, short_form
from tests.support.made_findings import WITH_KEY_IMAGES, make_context, make_findings, read_source
from tests.support.validators import but_for_the_name, complaints, pixelmed_complaints, program


@pytest.fixture(scope="module", params=CASES)
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return encode_case(CASES[request.param], tmp_path_factory.mktemp("case"))


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


@pytest.mark.parametrize("case", CASES)
def test_dciodvfy_finds_no_error_in_the_other_forms_and_kinds(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    for result in encode_results(source, findings, make_context(), FORMS).objects:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        known = {UNKNOWN_LABEL_MAP} if result.kind.startswith("sr-labelmap") else set()
        assert complaints(file) - known == set(), result.role


FOR_PIXELMED = [name for name in CASES if name != "forty lesions"]
"""PixelMed's style sheets need more than 2 GiB of memory for forty lesions in one SEG."""


@pytest.mark.parametrize("case", short_form(FOR_PIXELMED, ("oblique", "enhanced", "non-ASCII name")))
def test_pixelmed_finds_no_error_that_the_source_does_not_have(tmp_path: Path, case: str) -> None:
    source = read_source(tmp_path / "source", CASES[case].source)
    findings = make_findings(source, CASES[case].blocks(source))
    name = str(source.datasets[0].PatientName)
    for result in encode_results(source, findings, make_context(), ["seg", "seg-each", "seg-all-frames"]).objects:
        file = tmp_path / f"{result.role}.dcm"
        file.write_bytes(result.data)
        validator = "DicomSRValidator" if result.kind in REPORTS else "DicomInstanceValidator"
        assert but_for_the_name(pixelmed_complaints(validator, file), name) == [], result.role


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
