"""Does it say that it is for research?"""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from dicom_node.encoding.context import RESEARCH_USE
from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import NotMade, expect


def check_research(subject: Subject) -> str:
    """Content Qualification (PS3.3 C.8.13.2.1.1), and in this node's results the sentence on research use."""
    stated = subject.stored.text("ContentQualification")
    if not subject.is_own:
        if not stated:
            raise NotMade("it has no ContentQualification, which another make may leave out")
        expect(stated in ("PRODUCT", "RESEARCH", "SERVICE"), f"ContentQualification is {stated!r}")
        return f"ContentQualification is {stated}"
    expect(stated == "RESEARCH", f"ContentQualification is {stated!r}, not RESEARCH")
    expect(any(RESEARCH_USE in text for text in _texts(subject.dataset)), "the sentence on research use is not there")
    return "ContentQualification is RESEARCH, and the sentence on research use is there"


def _texts(dataset: Dataset) -> Iterator[str]:
    for equipment in dataset.get("ContributingEquipmentSequence") or []:
        yield str(equipment.get("ContributionDescription", ""))
