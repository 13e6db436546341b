"""Does it belong to the patient and study of its source, and of the other results of the study?"""

from collections import Counter

from pydicom.dataset import Dataset

from dicom_node.encoding.check_identity import comparable
from dicom_node.encoding.copied_attributes import COPIED_ATTRIBUTES
from dicom_node.validation.folder_contents import Stored
from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import NotMade, counted, expect

# Must be the source's, also where they are empty there. Of the other attributes of patient and study, another make may
# leave some out, but none may say something else; this node copies all.
IDENTIFYING = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
)
HOW_IT_IS_WRITTEN = "SpecificCharacterSet"  # another one may write the same names


def check_source_patient(subject: Subject) -> str:
    """Patient and study are those of the source's images (PS3.3 C.7.1, C.7.2)."""
    images = subject.images or _images_of_the_study(subject)
    if not images:
        raise NotMade("no image of its source series is here")
    for image in {one.text("SeriesInstanceUID"): one for one in images}.values():
        differing = _differing(subject.dataset, image.header, every=subject.is_own)
        expect(not differing, f"it differs from its source in {', '.join(differing)}")
    return "patient and study are the source's"


def check_same_patient(subject: Subject) -> str:
    """The results of one study name the same patient and study."""
    study = subject.stored.text("StudyInstanceUID")
    peers = [one for one in subject.contents.results if one.text("StudyInstanceUID") == study]
    if len(peers) < 2:
        raise NotMade("no other result of its study is here")
    differing = [keyword for keyword in IDENTIFYING if not _is_usual(keyword, subject, peers)]
    expect(not differing, f"it differs from the other results of its study in {', '.join(differing)}")
    return f"patient and study are those of {counted(len(peers) - 1, 'other result')} of the study"


def _images_of_the_study(subject: Subject) -> tuple[Stored, ...]:
    """For a result that refers to no image, such as a page that says that nothing was found."""
    study = subject.stored.text("StudyInstanceUID")
    images = [images[0] for images in subject.contents.sources.values()]
    return tuple(image for image in images if image.text("StudyInstanceUID") == study and not subject.references)


def _differing(result: Dataset, source: Dataset, *, every: bool) -> list[str]:
    differing = []
    for keyword in COPIED_ATTRIBUTES:
        ours, theirs = comparable(result, keyword), comparable(source, keyword)
        contradicts = ours is not None and theirs is not None and keyword != HOW_IT_IS_WRITTEN
        if ours != theirs and (every or keyword in IDENTIFYING or contradicts):
            differing.append(keyword)
    return differing


def _is_usual(keyword: str, subject: Subject, peers: list[Stored]) -> bool:
    """Whether the value is the one that most results have; where two are as frequent, neither is."""
    counts = Counter(str(comparable(one.header, keyword)) for one in peers)
    own = counts[str(comparable(subject.dataset, keyword))]
    return all(own > count for value, count in counts.items() if value != str(comparable(subject.dataset, keyword)))
