"""Results in a folder: good ones pass with every check made, and what is not here or no result is told."""

import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.errors import NodeError
from dicom_node.reasons import Reason
from dicom_node.result_kinds import KEY_IMAGES, PDF, PRESENTATION_STATE, REPORTS, SEGMENTATIONS
from dicom_node.validation.validate_folder import validate_folder
from tests.support.ct_source import OBLIQUE, PRONE, ROOT, CtSource, write_ct
from tests.support.made_findings import WITH_KEY_IMAGES, make_context, make_findings, read_source
from tests.support.result_folder import (
    BLOCKS,
    SMALL,
    change_file,
    items_of,
    make_result_folder,
    outcomes,
    write_results,
)

SOURCES = {
    "axial": SMALL,
    "prone": CtSource(slices=12, rows=24, columns=26, orientation=PRONE),
    "oblique, not square": CtSource(slices=12, rows=25, columns=27, orientation=OBLIQUE, spacing=(1.25, 0.4, 0.7)),
    "enhanced": CtSource(slices=12, rows=24, columns=26, kind="enhanced"),
    "legacy": CtSource(slices=12, rows=24, columns=26, kind="legacy"),
    "UID with a leading zero": SMALL.with_attributes(FrameOfReferenceUID=f"{ROOT}.05"),
    "empty attributes": SMALL.with_attributes(AccessionNumber="", PatientBirthDate="", StudyDescription=None),
}
RESULTS = ["key-image-1.dcm", "key-image-2.dcm", "key-image-3.dcm", "seg.dcm", "sr.dcm"]
ELSEWHERE = "references to what is not here"


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("source", SOURCES)
def test_good_results_pass_with_every_check_made(tmp_path: Path, source: str) -> None:
    verdict = validate_folder(make_result_folder(tmp_path, SOURCES[source]))
    assert [one.file for one in verdict.objects] == RESULTS
    assert (outcomes(verdict, "failed"), outcomes(verdict, "not made")) == ({}, {})
    assert verdict.passed
    images = 12 if SOURCES[source].kind == "classic" else 1
    assert verdict.sources == {f"{ROOT}.2": images}


def test_every_object_is_told_what_it_is_and_what_was_checked(made: Path) -> None:
    objects = {one.file: one for one in validate_folder(made).objects}
    assert objects["seg.dcm"].kind == "Segmentation Storage"
    assert objects["seg.dcm"].sop_instance_uid == dcmread(made / "seg.dcm").SOPInstanceUID
    patient = ["patient of the source", "patient of the other results"]
    common = ["file", "identifiers", *patient, "references", "research use"]
    names = {file: [check.name for check in one.checks] for file, one in objects.items()}
    assert names["seg.dcm"] == [*common, "segments", "mask", "overlap", "frame of reference", "place"]
    assert names["sr.dcm"] == [*common, "evidence", "outcome", "tracking", "volume", "centre"]
    assert names["key-image-1.dcm"] == [*common, "study of what it shows", "pages"]
    said = {check.name: check.sentence for one in objects.values() for check in one.checks}
    assert said["mask"] == "151 voxels in 2 segments"  # 4 x 6 x 6 - 1 and 1 x 3 x 3 - 1
    assert said["place"].startswith("5 frames")


def test_the_source_may_lie_elsewhere_or_be_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "ct").rename(tmp_path / "elsewhere")
    assert outcomes(validate_folder(folder, tmp_path / "elsewhere"), "not made") == {}
    alone = validate_folder(folder)
    assert alone.passed
    assert alone.sources == {}
    missing = outcomes(alone, "not made")
    needs_source = {"patient of the source", "frame of reference", "place", "study of what it shows", "references"}
    assert {name for _, name in missing} == needs_source | {ELSEWHERE}
    assert missing["sr.dcm", ELSEWHERE] == "it refers to 12 instances of series of which nothing is here"
    assert ("sr.dcm", "volume") not in missing  # the SEG is here


def test_a_report_without_its_segmentation(folder: Path) -> None:
    """A viewer that takes no SEG is sent the SR that refers to it."""
    (folder / "seg.dcm").unlink()
    verdict = validate_folder(folder)
    assert verdict.passed
    missing = outcomes(verdict, "not made")
    assert set(missing) == {("sr.dcm", name) for name in (ELSEWHERE, "tracking", "volume", "centre")}
    assert missing["sr.dcm", "volume"] == "the segmentation that it refers to is not here"


def test_nothing_found_and_not_analysed(tmp_path: Path) -> None:
    source = read_source(tmp_path / "ct", SMALL)
    write_results(tmp_path / "negative", encode_results(source, make_findings(source, []), make_context()).objects)
    context = make_context(weights_sha256="", fingerprint="refusal")
    refusal = encode_refusal_results(
        read_headers(source.paths), Reason.MISSING_SLICE, "a gap", context, wanted=WITH_KEY_IMAGES
    ).objects
    write_results(tmp_path / "refusal", refusal)
    verdict = validate_folder(tmp_path)
    assert verdict.passed, outcomes(verdict, "failed")
    said = outcomes(verdict, "passed")
    assert said["negative/sr.dcm", "outcome"] == "absent"
    assert said["refusal/sr.dcm", "outcome"] == "undetermined"
    assert ("refusal/key-image-1.dcm", "patient of the source") in said  # a page that refers to nothing


def test_a_slice_of_the_source_that_is_missing(folder: Path) -> None:
    """Named by each that refers to it: the page of the lesion whose centre lies in it, and the overview."""
    (missing,) = [path for path in (folder / "ct").iterdir() if dcmread(path).SOPInstanceUID == f"{ROOT}.3.5"]
    missing.unlink()
    failed = outcomes(validate_folder(folder), "failed")
    files = {"seg.dcm", "sr.dcm", "key-image-1.dcm", "key-image-2.dcm"}
    assert {key for key in failed if key[1] == "references"} == {(file, "references") for file in files}
    assert failed["sr.dcm", "references"] == f"it refers to {ROOT}.3.5, which is not here"


def test_a_frame_of_the_source_that_is_not_there(tmp_path: Path) -> None:
    folder = make_result_folder(tmp_path, SOURCES["enhanced"])

    def refer_beyond(image: Dataset) -> None:
        image.SourceImageSequence[0].ReferencedFrameNumber = 13

    change_file(folder / "key-image-2.dcm", refer_beyond)
    failed = outcomes(validate_folder(folder), "failed")
    assert failed == {
        ("key-image-2.dcm", "references"): f"it refers to frame 13 of {ROOT}.4.1, which has 12",
    }


def test_a_broken_file_is_named_and_the_others_are_checked(folder: Path) -> None:
    """Cut anywhere: in the meta information, in the middle of an element, or in the pixels."""
    for name in ("sr.dcm", "seg.dcm"):
        whole = (folder / name).read_bytes()
        for number, length in enumerate(range(150, len(whole), len(whole) // 8)):
            (folder / f"cut-{number}-{name}").write_bytes(whole[:length])
    verdict = validate_folder(folder)
    broken = {one.file: one for one in verdict.objects if one.file.startswith("cut-")}
    assert len(broken) > 12
    assert {file for file, one in broken.items() if one.passed} == set()
    assert len(verdict.objects) == len(broken) + 5
    first = broken["cut-0-sr.dcm"]
    assert (first.kind, [check.name for check in first.checks]) == ("unreadable file", ["file"])


def test_a_folder_without_results(tmp_path: Path) -> None:
    write_ct(tmp_path, SMALL)
    verdict = validate_folder(tmp_path)
    assert (verdict.objects, verdict.passed) == ((), False)
    assert verdict.sources == {f"{ROOT}.2": 12}


def test_other_files_are_passed_over_and_told(folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("no DICOM")
    (folder / "empty").touch()
    verdict = validate_folder(folder)
    assert verdict.skipped == ("empty", "notes/read me.txt")
    assert verdict.passed


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="it is no folder"):
        validate_folder(tmp_path / "nowhere")


FORMS = [*SEGMENTATIONS, *REPORTS, KEY_IMAGES, PRESENTATION_STATE, PDF]


@pytest.fixture(scope="module")
def all_forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forms")
    source = read_source(folder / "ct", SMALL)
    write_results(folder, encode_results(source, make_findings(source, BLOCKS), make_context(), FORMS).objects)
    return folder


def test_every_form_of_a_result_passes(all_forms: Path) -> None:
    """Label maps, objects with one segment each, frames without a lesion, the older SR classes, and what is unknown."""
    verdict = validate_folder(all_forms)
    assert outcomes(verdict, "failed") == {}
    said = outcomes(verdict, "passed")
    for kind in REPORTS:
        assert {(f"{kind}.dcm", name) for name in ("tracking", "volume", "centre")} <= set(said)
    assert said["seg-labelmap.dcm", "mask"] == "151 voxels in 2 segments"
    assert said["seg-all-frames-each-1.dcm", "mask"] == "143 voxels in 1 segment"
    assert ("presentation-state.dcm", "references") in said
    assert ("pdf.dcm", "patient of the source") in said


@pytest.mark.parametrize(("column", "inside"), [(9.5, True), (8.5, False), (14.9, True), (15.0, False)])
def test_the_centre_as_a_point_in_an_image(all_forms: Path, tmp_path: Path, column: float, inside: bool) -> None:
    """Columns 9 to 14 of the first lesion: the pixel in column 9 reaches from 9.0 to 10.0."""
    folder = Path(shutil.copytree(all_forms, tmp_path / "forms"))

    def move(document: Dataset) -> None:
        point = items_of(document, "111010")[0]
        point.GraphicData = [column, point.GraphicData[1]]

    change_file(folder / "sr-enhanced.dcm", move)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == (set() if inside else {("sr-enhanced.dcm", "centre")})
