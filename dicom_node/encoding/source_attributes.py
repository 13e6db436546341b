"""The source's patient and study, copied into a result as they are."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from dicom_node.encoding.copied_attributes import (
    COPIED_ATTRIBUTES,
    EQUIPMENT_ATTRIBUTES,
    READING_ATTRIBUTES,
    REQUIRED_ATTRIBUTES,
)
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.legible import TEXT_VRS, check_identifying, is_legible

IDENTIFIERS = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")



def copy_patient_and_study(source: Dataset, result: Dataset) -> None:
    """Give `result` the patient and study attributes of `source`, value for value.

    Whatever `result` had of them is dropped; type 2 attributes that the source lacks are empty. Nothing is
    corrected or even interpreted: a value that the standard would not allow is the source's, and the study
    must stay one. An empty Specific Character Set (type 1C) says what an absent one says, and is left out. So is what
    is not written as what it is (`legible`), for nobody can say what it would say.

    Raises:
        NotAnalysable: that is so of an attribute that identifies the patient or the study.
    """
    check_identifying(source)
    for keyword in COPIED_ATTRIBUTES:
        if keyword in result:
            delattr(result, keyword)
        if not is_legible(source, keyword):
            continue
        if keyword in source and not (keyword in READING_ATTRIBUTES and source[keyword].is_empty):
            _copy_element(source, result, keyword)
    for keyword in REQUIRED_ATTRIBUTES:
        if keyword not in result:
            setattr(result, keyword, None)


def copy_body_part(source: Dataset, result: Dataset) -> None:
    """Body Part Examined and Laterality as the source has them (PS3.3 C.7.3.1).

    Where it names no part the result says HEAD, which is no paired part and asks for no Laterality.
    """
    for keyword in ("BodyPartExamined", "Laterality"):
        if keyword in result:
            delattr(result, keyword)
        if stated(source, keyword):
            _copy_element(source, result, keyword)
    if "BodyPartExamined" not in result:
        result.BodyPartExamined = "HEAD"


def _copy_element(source: Dataset, result: Dataset, keyword: str) -> None:
    """Copy the bytes where they have not been parsed yet and are text, else the parsed element."""
    tag = Tag(keyword)
    item: Any = source.get_item(tag)
    vr = dictionary_VR(tag)
    if isinstance(item, RawDataElement) and vr in TEXT_VRS:
        result[tag] = item._replace(VR=vr, is_implicit_VR=False, is_little_endian=True)
    else:
        result[tag] = deepcopy(source[tag])


def stated(header: Dataset, keyword: str) -> Any:
    """The value of an attribute that only helps the reader; None where it is absent, empty or unreadable."""
    try:
        value = header.get(keyword) if is_legible(header, keyword) else None
    except DAMAGED:
        return None
    return None if value == "" else value


def identified_images(headers: Sequence[Dataset]) -> list[Dataset]:
    """The headers that can be referred to, of the study and series of the first of them.

    Raises:
        NodeError: none has a SOP Class, Study, Series and SOP Instance UID.
    """
    named = [header for header in headers if all(stated(header, keyword) for keyword in IDENTIFIERS)]
    if not named:
        raise NodeError(f"no image of the series has {', '.join(IDENTIFIERS)}", where="encoding")
    return [header for header in named if _series_of(header) == _series_of(named[0])]


def _series_of(header: Dataset) -> tuple[str, str]:
    return str(header.StudyInstanceUID), str(header.SeriesInstanceUID)


def stand_in(source: Dataset) -> Dataset:
    """A CT image with the source's identifiers and device, and blank patient and study, for a constructor.

    highdicom parses dates and checks code strings of the source, refuses an image whose PatientSex it does
    not know, and needs a SOP Class of the standard. The values proper are put in afterwards.

    Raises:
        NodeError: the source lacks one of IDENTIFIERS.
    """
    image = Dataset()
    for keyword in IDENTIFIERS:
        if not source.get(keyword):
            raise NodeError(f"the source has no {keyword}", where="encoding")
        setattr(image, keyword, str(source[keyword].value))
    for keyword in REQUIRED_ATTRIBUTES:
        setattr(image, keyword, "")
    for keyword in EQUIPMENT_ATTRIBUTES:
        if stated(source, keyword):
            image.add(deepcopy(source[keyword]))
    image.SOPClassUID = CTImageStorage
    image.Modality = "CT"
    return image
