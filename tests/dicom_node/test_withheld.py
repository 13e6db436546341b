"""What an archive says of an object is kept, unless it may name the patient."""

from pathlib import Path

import pytest

from dicom_node.withheld import WITHHELD, withhold_patient
from tests.support.dicom_network import make_ct, write_ct

KEPT = "cannot store: quota exceeded for AE GLIANET"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    image = make_ct(1)
    image.PatientName = "Telltale^Anna Maria^^Dr."
    image.PatientID = "TT-4711"
    image.PatientBirthDate = "19600229"
    return write_ct(tmp_path, image)


@pytest.mark.parametrize(
    "comment",
    [
        "Patient name mismatch: TELLTALE^ANNA MARIA",
        "patient telltale is locked",
        "study of Maria, not found",
        "unknown id TT-4711",
        "(TT-4711)",
        "birth date 19600229 differs",
    ],
)
def test_words_of_the_patient_are_withheld(file: Path, comment: str) -> None:
    assert withhold_patient(comment, file) == WITHHELD


@pytest.mark.parametrize("comment", ["", KEPT, "TT-47112 is none of hers", "Marianne", "out of resources"])
def test_other_words_are_kept(file: Path, comment: str) -> None:
    assert withhold_patient(comment, file) == comment


def test_where_it_cannot_be_told_it_is_withheld(tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM")
    assert withhold_patient(KEPT, broken) == WITHHELD
    assert withhold_patient(KEPT, tmp_path / "missing.dcm") == WITHHELD
    assert withhold_patient("", broken) == ""
