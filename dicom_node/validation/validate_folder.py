"""Checking every result in a folder: of this node, or of another make; with its source images, or without."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from dicom_node.errors import NodeError
from dicom_node.validation.check_document import check_document
from dicom_node.validation.check_file import check_file, check_identifiers
from dicom_node.validation.check_key_image import check_key_image
from dicom_node.validation.check_patient import check_same_patient, check_source_patient
from dicom_node.validation.check_references import check_references
from dicom_node.validation.check_research import check_research
from dicom_node.validation.check_segments import check_segments
from dicom_node.validation.folder_contents import FolderContents, Stored, read_contents
from dicom_node.validation.subject import Subject, read_subject
from dicom_node.validation.verdicts import Check, FolderVerdict, ObjectVerdict, run_check

UNREADABLE = "unreadable file"


def validate_folder(folder: Path, source: Path | None = None) -> FolderVerdict:
    """The verdict on every result in `folder` and below, in the order of the files' names.

    Every DICOM file that is no CT image is a result. CT images in `folder` and in `source`, which may be elsewhere, are
    what results are held against.

    Raises:
        NodeError: a folder is not there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom remarks on values is not what is asked here
        contents = read_contents(folder, source)
        verdicts = [_unreadable(_name(path, folder), why) for path, why in contents.unreadable]
        verdicts += [_judge(stored, contents, _name(stored.path, folder)) for stored in contents.results]
    return FolderVerdict(
        objects=tuple(sorted(verdicts, key=lambda verdict: verdict.file)),
        sources={uid: len(images) for uid, images in contents.sources.items()},
        skipped=tuple(_name(path, folder) for path in contents.skipped),
    )


def _judge(stored: Stored, contents: FolderContents, name: str) -> ObjectVerdict:
    try:
        subject = read_subject(stored, contents)
    except NodeError as error:
        return _unreadable(name, error.what)
    return ObjectVerdict(
        file=name,
        kind=subject.kind,
        sop_instance_uid=stored.text("SOPInstanceUID"),
        series_instance_uid=stored.text("SeriesInstanceUID"),
        checks=tuple(_checks(subject)),
    )


def _checks(subject: Subject) -> Iterator[Check]:
    """Every object is checked for the first of these, whatever it is."""
    yield run_check("file", lambda: check_file(subject))
    yield run_check("identifiers", lambda: check_identifiers(subject))
    yield run_check("patient of the source", lambda: check_source_patient(subject))
    yield run_check("patient of the other results", lambda: check_same_patient(subject))
    yield from check_references(subject)
    yield run_check("research use", lambda: check_research(subject))
    if subject.is_segmentation:
        yield from check_segments(subject)
    if subject.is_report:
        yield from check_document(subject)
    if subject.is_key_image:
        yield from check_key_image(subject)


def _unreadable(name: str, why: str) -> ObjectVerdict:
    return ObjectVerdict(name, UNREADABLE, "", "", (Check("file", "failed", why),))


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))
