"""Key images: whose study's images they show, and their pages."""

from collections.abc import Iterator

from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import Check, NotMade, counted, expect, run_check


def check_key_image(subject: Subject) -> Iterator[Check]:
    """What is checked of a Secondary Capture image beside what is checked of every object (PS3.3 A.8)."""
    yield run_check("study of what it shows", lambda: _check_study(subject))
    yield run_check("pages", lambda: _check_pages(subject))


def _check_study(subject: Subject) -> str:
    found = [subject.contents.find(reference.sop_instance_uid) for reference in subject.references]
    shown = [one for one in found if one is not None]
    if not shown:
        raise NotMade("it refers to no image that is here")
    study = subject.stored.text("StudyInstanceUID")
    expect(all(one.text("StudyInstanceUID") == study for one in shown), "it shows an image of another study")
    return f"{counted(len(shown), 'image')} that it refers to, of its study"


def _check_pages(subject: Subject) -> str:
    """Pages of this node are numbered from 1 without a gap, in one series."""
    if not subject.is_own:
        raise NotMade("another make numbers its images as it likes")
    series = subject.stored.text("SeriesInstanceUID")
    pages = [one for one in subject.contents.results if one.text("SeriesInstanceUID") == series]
    numbers = sorted({int(one.text("InstanceNumber")) for one in pages})
    expect(numbers == list(range(1, len(numbers) + 1)), f"the pages of its series are numbered {numbers}")
    return f"page {subject.stored.text('InstanceNumber')} of {len(numbers)}"
