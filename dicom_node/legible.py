"""Which attributes of a header are written as what they are, so that they may be taken over into a result.

A header may give an attribute another VR than PS3.6 does. Other plain text keeps the same bytes; a number, or a VR
that does not exist, would be read as something that nobody wrote.
"""

from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.tag import Tag

from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable, Reason

# VRs that hold text, whose bytes are the same in every transfer syntax (PS3.5 section 6.2).
TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
WITH_A_FORM = frozenset(("DS", "IS", "PN"))  # numbers, and names of components: they are not read as they stand
NOT_SAID = frozenset((None, "UN"))  # Implicit VR, and PS3.5 section 6.2.2: they are what PS3.6 says

# What tells whose images these are. A result that bore another value of one of them, or none, could be filed under
# another patient, so a header in which one is illegible is no source of any.
IDENTIFYING = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "SpecificCharacterSet",
)


def check_identifying(header: Dataset) -> None:
    """Prove that what identifies patient, study and image is written as what it is; nothing is decoded by it.

    Raises:
        NotAnalysable: the first attribute that is not; its value is not named.
    """
    for keyword in IDENTIFYING:
        if not is_legible(header, keyword):
            vr = _written_vr(header, keyword)
            raise NotAnalysable(Reason.HEADER_UNREADABLE, f"{keyword} is written with VR {vr!r}"[:64])


def is_legible(dataset: Dataset, keyword: str) -> bool:
    """Whether the attribute is absent, or its VR is its own, or both are plain text."""
    own, written = dictionary_VR(Tag(keyword)), _written_vr(dataset, keyword)
    if written in NOT_SAID or written == own:
        return own in TEXT_VRS or _can_be_read(dataset, keyword)
    return {own, written} <= TEXT_VRS - WITH_A_FORM


def _written_vr(dataset: Dataset, keyword: str) -> str | None:
    item: Any = dataset.get_item(Tag(keyword))
    return None if item is None or item.VR is None else str(item.VR)


def _can_be_read(dataset: Dataset, keyword: str) -> bool:
    try:
        dataset.get(keyword)
    except DAMAGED:
        return False
    return True
