"""A peer's words may quote the patient that it was sent; such words are not written down."""

import re
from pathlib import Path

from pydicom import dcmread

from dicom_node.frames import DAMAGED

WITHHELD = "comment withheld: it may name the patient"
_NAMING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "OtherPatientIDs", "PatientAddress")
_BETWEEN_WORDS = re.compile(r"[\s^=,;\\/]+")
_SHORTEST = 2  # letters; a single one is no name, and stands in many words


def withhold_patient(comment: str, file: Path) -> str:
    """`comment`, or a remark in its place where a word of it is the patient's in the file, or where that is unknown."""
    if not comment:
        return comment
    try:
        said = comment.lower()
        return WITHHELD if any(_stands_in(word, said) for word in _words_of_the_patient(file)) else comment
    except (OSError, *DAMAGED):
        return WITHHELD


def _words_of_the_patient(file: Path) -> set[str]:
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(_NAMING))
    values = [str(header.get(keyword) or "") for keyword in _NAMING]
    words = {word.lower() for value in values for word in (value, *_BETWEEN_WORDS.split(value))}
    return {word for word in words if len(word) >= _SHORTEST}


def _stands_in(word: str, said: str) -> bool:
    """As a whole word: "an" is no part of "cannot"."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) is not None
