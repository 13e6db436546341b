"""What lies in a folder: results to check, and the images and objects that they may refer to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from dicom_node.dicom_file import read_file
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED, MULTI_FRAME_CLASSES, SINGLE_FRAME_CLASSES, read_value
from dicom_node.reasons import NotAnalysable
from dicom_node.validation.references import Reference, list_references

SOURCE_CLASSES = (*SINGLE_FRAME_CLASSES, *MULTI_FRAME_CLASSES)
PREAMBLE, PREFIX = 128, b"DICM"  # PS3.10 section 7.1


@dataclass(frozen=True, eq=False)
class Stored:
    """A DICOM file; header: its data set without pixels."""

    path: Path
    header: Dataset

    def text(self, keyword: str) -> str:
        """The attribute as text; empty where it is absent or cannot be read."""
        try:
            return str(read_value(self.header, keyword) or "")
        except NotAnalysable:
            return ""

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Those of the header; none where it is damaged, which is found when the object itself is checked."""
        try:
            return tuple(list_references(self.header))
        except (*DAMAGED, OSError):  # pydicom's own OSError says that a sequence ends too early
            return ()


@dataclass(frozen=True, eq=False)
class FolderContents:
    """results: to be checked. unreadable: file, and why. skipped: files that are no DICOM files.

    sources: the images of each CT series, by SeriesInstanceUID. known: everything that can be referred to, by
    SOPInstanceUID, in the order of the files' names; the results too.
    """

    results: tuple[Stored, ...]
    unreadable: tuple[tuple[Path, str], ...]
    skipped: tuple[Path, ...]
    sources: dict[str, list[Stored]]
    known: dict[str, list[Stored]]

    def find(self, sop_instance_uid: str) -> Stored | None:
        """The object with this UID, where it is there."""
        return self.known.get(sop_instance_uid, [None])[0]

    @cached_property
    def series(self) -> frozenset[str]:
        """The series of which anything is there."""
        return frozenset(one.text("SeriesInstanceUID") for copies in self.known.values() for one in copies)

    @cached_property
    def named_series(self) -> dict[str, str]:
        """The series of the instances that results refer to, as far as any of them names it: an image refers to others
        without their series, and a report in its content; its evidence has them."""
        references = (reference for one in self.results for reference in one.references)
        return {one.sop_instance_uid: one.series_instance_uid for one in references if one.series_instance_uid}


def read_contents(folder: Path, source: Path | None) -> FolderContents:
    """Read the headers of all files in `folder` and below; those of `source` are only there to be referred to.

    Raises:
        NodeError: a folder is not there.
    """
    stored, unreadable, skipped = _read_all(folder)
    further = _read_all(source)[0] if source is not None else []
    results = tuple(one for one in stored if one.text("SOPClassUID") not in SOURCE_CLASSES)
    sources: dict[str, list[Stored]] = {}
    known: dict[str, list[Stored]] = {}
    for one in _without_repetition([*stored, *further]):
        known.setdefault(one.text("SOPInstanceUID"), []).append(one)
        if one.text("SOPClassUID") in SOURCE_CLASSES and len(known[one.text("SOPInstanceUID")]) == 1:
            sources.setdefault(one.text("SeriesInstanceUID"), []).append(one)
    return FolderContents(results, tuple(unreadable), tuple(skipped), sources, known)


def _read_all(folder: Path) -> tuple[list[Stored], list[tuple[Path, str]], list[Path]]:
    if not folder.is_dir():
        raise NodeError("it is no folder", where=str(folder), advice="name a folder with DICOM files")
    stored, unreadable, skipped = [], [], []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        try:
            if not _is_dicom(path):
                skipped.append(path)
                continue
            header = read_file(path, with_pixels=False)
        except (NotAnalysable, OSError) as error:
            unreadable.append((path, _why(error)))
            continue
        one = Stored(path, header)
        if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            skipped.append(path)
        elif one.text("SOPClassUID") and one.text("SOPInstanceUID"):
            stored.append(one)
        else:
            unreadable.append((path, "it ends too early, or names no SOP Class or no SOP Instance"))
    return stored, unreadable, skipped


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(PREAMBLE + len(PREFIX))[PREAMBLE:] == PREFIX


def _why(error: NotAnalysable | OSError) -> str:
    if isinstance(error, NotAnalysable):
        return f"its bytes cannot be read as DICOM ({error.detail})"
    return f"the file cannot be read ({error.strerror})"


def _without_repetition(stored: Iterable[Stored]) -> Iterator[Stored]:
    """Each file once, where the two folders overlap."""
    yield from {one.path.resolve(): one for one in stored}.values()
