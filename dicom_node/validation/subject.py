"""A result that is being checked, with what it refers to."""

import warnings
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.dicom_file import read_file
from dicom_node.encoding.context import MANUFACTURER
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable
from dicom_node.validation.folder_contents import FolderContents, Stored
from dicom_node.validation.references import Reference, list_references

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # PS3.4 B.5: also Label Map
SECONDARY_CAPTURE_CLASSES = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame children
END_OF_FILE = "end of file"  # in pydicom's warning
UNDEFINED_LENGTH = 0xFFFFFFFF  # PS3.5 section 7.1
REPORT_CLASSES = "1.2.840.10008.5.1.4.1.1.88."  # all SR documents, and Key Object Selection


@dataclass(frozen=True, eq=False)
class Subject:
    """dataset: with pixels. references: all, in the order of the data set. images: those that are there of the CT
    series that it names, in the order of their files' names."""

    stored: Stored
    dataset: Dataset
    contents: FolderContents
    references: tuple[Reference, ...]
    images: tuple[Stored, ...]

    @property
    def is_own(self) -> bool:
        """Whether this node, or another one like it, made it."""
        return self.stored.text("Manufacturer") == MANUFACTURER

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return UID(self.stored.text("SOPClassUID")).name or "object without SOP Class"

    @property
    def is_segmentation(self) -> bool:
        return self.stored.text("SOPClassUID") in SEGMENTATION_CLASSES

    @property
    def is_report(self) -> bool:
        return self.stored.text("SOPClassUID").startswith(REPORT_CLASSES)

    @property
    def is_key_image(self) -> bool:
        uid = self.stored.text("SOPClassUID")
        return uid == SECONDARY_CAPTURE_CLASSES or uid.startswith(f"{SECONDARY_CAPTURE_CLASSES}.")


def read_subject(stored: Stored, contents: FolderContents) -> Subject:
    """The result with its pixels and its references.

    Raises:
        NodeError: its bytes are damaged, or the file ends too early.
    """
    try:
        dataset = _read_whole(stored)
        references = tuple(list_references(dataset))
    except NotAnalysable as error:
        raise NodeError(f"its bytes cannot be read as DICOM ({error.detail})", where=str(stored.path)) from error
    except (*DAMAGED, OSError) as error:  # pydicom's own OSError says that a sequence ends too early
        what = f"its bytes cannot be read as DICOM ({type(error).__name__})"
        raise NodeError(what, where=str(stored.path)) from error
    return Subject(stored, dataset, contents, references, _source_images(references, contents))


def _read_whole(stored: Stored) -> Dataset:
    """The data set; pydicom gives what there is of a file that ends too early, at most with a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = read_file(stored.path, with_pixels=True)
    cut = any(END_OF_FILE in str(warning.message).lower() for warning in caught)
    cut |= any(
        isinstance(element, RawDataElement) and element.length not in (len(element.value or b""), UNDEFINED_LENGTH)
        for element in dataset.values()
    )
    if cut:
        raise NodeError("the file ends too early", where=str(stored.path))
    return dataset


def _source_images(references: tuple[Reference, ...], contents: FolderContents) -> tuple[Stored, ...]:
    found = [contents.find(reference.sop_instance_uid) for reference in references]
    series = {one.text("SeriesInstanceUID") for one in found if one is not None}
    series |= {reference.series_instance_uid for reference in references}
    return tuple(image for uid, images in contents.sources.items() if uid in series for image in images)
