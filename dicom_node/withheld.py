"""A peer's words may quote the patient that it was sent; such words are not written down."""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.frames import DAMAGED

WITHHELD = "comment withheld: it may name the patient"
_NAMING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "OtherPatientIDs", "PatientAddress")
_BETWEEN_WORDS = re.compile(r"[\s^=,;\\/]+")
_SHORTEST = 2  # letters; a single one is no name, and stands in many words
_FIRST, _LAST = " ", "~"  # of the default repertoire without its control characters, PS3.5 section 6.1.2.1


def read_comment(answer: Dataset, file: Path) -> str:
    """The Error Comment (0000,0902) of a peer's answer, as `withhold_patient` lets it pass."""
    return withhold_patient(str(answer.get("ErrorComment") or "").strip(), file)


def withhold_patient(comment: str, file: Path) -> str:
    """`comment`, or a remark in its place where a word of it is the patient's in the file, or where that is unknown.

    A command names no character set, so that nobody knows what a comment says outside the default repertoire: it is
    withheld without being compared.
    """
    if not comment:
        return comment
    if not all(_FIRST <= letter <= _LAST for letter in comment):
        return WITHHELD
    try:
        said = comment.lower()
        return WITHHELD if any(_stands_in(word, said) for word in _words_of_the_patient(file)) else comment
    except (OSError, *DAMAGED):
        return WITHHELD


def _words_of_the_patient(file: Path) -> set[str]:
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(_NAMING))
    values = [str(header.get(keyword) or "") for keyword in _NAMING]
    words = (word for value in values for word in (value, *_BETWEEN_WORDS.split(value)))
    return {form for word in words for form in _forms(word) if len(form) >= _SHORTEST}


def _forms(word: str) -> Iterator[str]:
    """As it stands in the file, and as it is written without accents."""
    yield word.lower()
    yield unicodedata.normalize("NFKD", word.casefold()).encode("ascii", "ignore").decode()


def _stands_in(word: str, said: str) -> bool:
    """As a whole word: "an" is no part of "cannot"."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) is not None
