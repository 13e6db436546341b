"""What an archive says of an object is kept, unless it may name the patient."""

from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.withheld import WITHHELD, read_comment, withhold_patient
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
        "birth date 1960-02-29 differs",
        "born 29.2.1960",
        "born 2-29-1960",
        "born 02/29/60",
        "born 29 Feb 1960",
        "geboren am 29. Februar 1960",
        "1960feb29",
        "TELLTALE_ANNA is locked",
        "AnnaTelltale",
        "id TT4711",
        "id TT-47112",  # might be hers with a check digit
        "Anna-Maria",
    ],
)
def test_words_of_the_patient_are_withheld(file: Path, comment: str) -> None:
    assert withhold_patient(comment, file) == WITHHELD


@pytest.mark.parametrize("comment", ["", KEPT, "cannot", "drop", "0xA700: 1960 objects", "29 of 30 objects", "no room"])
def test_other_words_are_kept(file: Path, comment: str) -> None:
    assert withhold_patient(comment, file) == comment


def test_where_it_cannot_be_told_it_is_withheld(tmp_path: Path) -> None:
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM")
    assert withhold_patient(KEPT, broken) == WITHHELD
    assert withhold_patient(KEPT, tmp_path / "missing.dcm") == WITHHELD
    assert withhold_patient("", broken) == ""


@pytest.mark.parametrize(
    "comment",
    [
        "cannot keep M\u00c3\u00bcller",  # "Müller" in UTF-8, read as Latin-1
        "cannot keep M\u00fcller",
        "no space\x1b[2J",
        "no space\nnode: running",
        "no space\x7f",
    ],
)
def test_what_is_no_printable_ascii_is_withheld_whatever_it_says(file: Path, comment: str) -> None:
    """Nobody knows the character set of a comment: a name in it could be compared with nothing."""
    assert withhold_patient(comment, file) == WITHHELD


@pytest.mark.parametrize(
    ("name", "said"),
    [("Müller^Jörg", "MULLER"), ("Weiß^Ann", "WEISS"), ("Çelik^Öz", "celik"), ("Núñez^Ana", "NUNEZ^ANA"),
     ("Müller^Jörg", "Mueller"), ("Mueller^J", "muller"), ("Ærø^Ib", "AEROE"), ("Łoś^A", "los")],
)
def test_a_name_without_its_accents_is_the_name(tmp_path: Path, name: str, said: str) -> None:
    image = make_ct(1)
    image.SpecificCharacterSet, image.PatientName = "ISO_IR 192", name
    assert withhold_patient(f"patient {said} is locked", write_ct(tmp_path, image)) == WITHHELD


@pytest.mark.parametrize(("said", "kept"), [(None, ""), (f" {KEPT} ", KEPT), ("patient Telltale", WITHHELD)])
def test_the_comment_of_an_answer(file: Path, said: str | None, kept: str) -> None:
    answer = Dataset()
    answer.Status = 0xA700
    if said is not None:
        answer.ErrorComment = said
    assert read_comment(answer, file) == kept
