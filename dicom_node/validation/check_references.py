"""Is every instance there that it refers to, and is it what the reference says?"""

from collections.abc import Iterator

from dicom_node.validation.folder_contents import FolderContents, Stored
from dicom_node.validation.references import Reference
from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import Check, NotMade, counted, expect_none, run_check

NAME = "references"
ELSEWHERE = "references to what is not here"


def check_references(subject: Subject) -> Iterator[Check]:
    """A check of the references that can be followed, and one that says of how many no series is here."""
    followed, elsewhere = [], set()
    for reference in dict.fromkeys(subject.references):
        series = reference.series_instance_uid or subject.contents.named_series.get(reference.sop_instance_uid, "")
        if _can_be_followed(reference, series, subject):
            followed.append(reference)
        else:
            elsewhere.add(reference.sop_instance_uid)
    yield run_check(NAME, lambda: _follow(followed, subject.contents))
    if elsewhere:
        count = counted(len(elsewhere), "instance")
        yield Check(ELSEWHERE, "not made", f"it refers to {count} of series of which nothing is here")


def _can_be_followed(reference: Reference, series: str, subject: Subject) -> bool:
    """A reference into a series that is here must find its instance; so must one whose series nothing names."""
    here = subject.contents.find(reference.sop_instance_uid) is not None
    return here or series in subject.contents.series or (not series and bool(subject.images))


def _follow(references: list[Reference], contents: FolderContents) -> str:
    if not references:
        raise NotMade("it refers to nothing that is here")
    problems = []
    for reference in references:
        found = contents.find(reference.sop_instance_uid)
        if found is None:
            problems.append(f"it refers to {reference.sop_instance_uid}, which is not here")
        else:
            problems += _disagreements(reference, found)
    expect_none(list(dict.fromkeys(problems)))
    instances = counted(len({one.sop_instance_uid for one in references}), "instance")
    return f"{instances} that it refers to can be found, of the class and series that it says"


def _disagreements(reference: Reference, found: Stored) -> Iterator[str]:
    uid = reference.sop_instance_uid
    if reference.sop_class_uid != found.text("SOPClassUID"):
        yield f"it names another SOP Class for {uid} than that has"
    if reference.series_instance_uid not in ("", found.text("SeriesInstanceUID")):
        yield f"it says that {uid} lies in series {reference.series_instance_uid}, where it does not"
    if reference.study_instance_uid not in ("", found.text("StudyInstanceUID")):
        yield f"it says that {uid} lies in study {reference.study_instance_uid}, where it does not"
    frames = int(found.text("NumberOfFrames") or 1)
    beyond = [number for number in reference.frames if not 1 <= number <= frames]
    if beyond:
        yield f"it refers to frame {beyond[0]} of {uid}, which has {frames}"
