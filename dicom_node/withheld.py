"""A peer's words may quote the patient that it was sent; such words are not written down."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from pydicom import Dataset, dcmread

from dicom_node.frames import DAMAGED

WITHHELD = "comment withheld: it may name the patient"
_NAMING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "OtherPatientIDs", "PatientAddress")
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")
_SHORTEST = 2  # letters; a single one is no name, and stands in many words
_LONG = 4  # letters; shorter ones count as whole words alone: "an" is no part of "cannot"
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"}
)
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)")  # DA, PS3.5 section 6.2
_NUMBERS = re.compile(r"\d+")
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
        words, letters = set(_BETWEEN_WORDS.split(said)), _BETWEEN_WORDS.sub("", said)
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(_NAMING))
        forms = _forms_of_the_patient(header)
        named = any(form in words or (len(form) >= _LONG and form in letters) for form in forms)
        return WITHHELD if named or _tells_birth(said, header) else comment
    except (OSError, *DAMAGED):
        return WITHHELD


def _forms_of_the_patient(header: Dataset) -> set[str]:
    """Letters and digits of every value and of every word in it, in each way that they are written."""
    values = [str(header.get(keyword) or "") for keyword in _NAMING]
    spelled = (one for value in values for one in (*_spellings(value), *_dates(value)))
    forms = (form for text in spelled for form in (_BETWEEN_WORDS.sub("", text), *_BETWEEN_WORDS.split(text)))
    return {form for form in forms if len(form) >= _SHORTEST}


def _tells_birth(said: str, header: Dataset) -> bool:
    """Whether day and year of birth stand there as numbers: the month may be a word of any language."""
    found = _DATE.fullmatch(str(header.get("PatientBirthDate") or ""))
    if found is None:
        return False
    numbers = {int(number) for number in _NUMBERS.findall(said)}
    year, day = int(found.group(1)), int(found.group(3))
    return day in numbers and year in numbers


def _spellings(value: str) -> Iterator[str]:
    """Without accents, with umlauts as two letters, and with such two letters as one."""
    folded = value.casefold()
    for one in (folded, folded.translate(_LETTERS)):
        plain = unicodedata.normalize("NFKD", one).encode("ascii", "ignore").decode()
        yield plain
        yield plain.replace("ae", "a").replace("oe", "o").replace("ue", "u")


def _dates(value: str) -> Iterator[str]:
    """The orders in which a date is written; a year may have two digits, and day and month one."""
    if found := _DATE.fullmatch(value):
        year, month, day = found.groups()
        ways = (year, year[2:]), (month, str(int(month))), (day, str(int(day)))
        for y, m, d in product(*ways):
            yield from (y + m + d, d + m + y, m + d + y)
