"""Results that disagree, with one another or with their source: each that may be wrong is named."""

import shutil
from pathlib import Path

from dicom_node.encoding.encode_results import encode_results
from dicom_node.validation.validate_folder import validate_folder
from tests.support.damage import change_the_name, drop_unused_evidence, move_to_another_study
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.result_folder import SMALL, change_file, outcomes, write_results


def test_a_segmentation_beside_a_report_that_nothing_was_found(folder: Path, tmp_path: Path) -> None:
    source = read_source(tmp_path / "source", SMALL)
    write_results(folder, encode_results(source, make_findings(source, []), make_context()).objects)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("sr.dcm", "outcome")}
    assert "nothing was found, and seg.dcm has segments of the same series" in failed["sr.dcm", "outcome"]


def test_a_patient_of_one_result_alone_is_told_without_the_source(folder: Path) -> None:
    shutil.rmtree(folder / "ct")
    change_file(folder / "seg.dcm", change_the_name)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("seg.dcm", "patient of the other results")}


def test_of_two_results_that_disagree_neither_is_believed(folder: Path) -> None:
    for path in [folder / "ct", *folder.glob("key-image-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    change_file(folder / "seg.dcm", change_the_name)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {(file, "patient of the other results") for file in ("seg.dcm", "sr.dcm")}


def test_a_result_in_another_study_than_its_source(folder: Path) -> None:
    change_file(folder / "key-image-2.dcm", move_to_another_study)
    failed = outcomes(validate_folder(folder), "failed")
    assert set(failed) == {("key-image-2.dcm", "patient of the source"), ("key-image-2.dcm", "study of what it shows")}
    assert failed["key-image-2.dcm", "patient of the source"].endswith("in StudyInstanceUID")


def test_one_instance_with_two_contents(folder: Path) -> None:
    shutil.copy(folder / "sr.dcm", folder / "same.dcm")
    assert validate_folder(folder).passed
    change_file(folder / "same.dcm", drop_unused_evidence)
    failed = outcomes(validate_folder(folder), "failed")
    assert failed["sr.dcm", "identifiers"] == "same.dcm bears the same SOPInstanceUID with other content"
    assert ("same.dcm", "identifiers") in failed
