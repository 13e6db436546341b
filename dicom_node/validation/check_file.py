"""Is it a proper file: Part 10 meta information, identifiers, and as many bytes as its header says?"""

from hashlib import sha256

from pydicom.dataset import Dataset
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID

from dicom_node.encoding.check_identity import SOURCE_UIDS, uids_of
from dicom_node.encoding.copied_attributes import COPIED_ATTRIBUTES
from dicom_node.identifiers import is_valid_uid
from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import expect

NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")  # all of type 1
PADDING = 1  # bytes to even length (PS3.5 section 8.1.1)


def check_file(subject: Subject) -> str:
    """File meta information agrees with the data set (PS3.10 section 7.1), and nothing of the file is missing."""
    dataset = subject.dataset
    missing = [keyword for keyword in NEEDED if not subject.stored.text(keyword)]
    expect(not missing, f"{', '.join(missing)} is missing or empty")
    syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
    expect(syntax.is_transfer_syntax, f"the transfer syntax {str(syntax)!r} is none that is known")
    for meta, keyword in (("MediaStorageSOPClassUID", "SOPClassUID"), ("MediaStorageSOPInstanceUID", "SOPInstanceUID")):
        stated = str(dataset.file_meta.get(meta, ""))
        expect(stated == str(dataset[keyword].value), f"{meta} is {stated!r}, {keyword} in the data set is another")
    _expect_all_pixels(dataset, syntax)
    return f"file meta information and data set agree, in {syntax.name}"


def check_identifiers(subject: Subject) -> str:
    """All UIDs are UIDs, those of the result are its own, and no other file bears them."""
    known = {str(image.header.get(keyword)) for image in subject.images for keyword in SOURCE_UIDS}
    tops = [element for element in subject.dataset if element.keyword not in COPIED_ATTRIBUTES]
    uids = [found for top in tops for found in uids_of(top)]
    for keyword, uid in uids:
        expect(uid == "" or is_valid_uid(uid) or uid in known, f"{keyword} holds the invalid UID {uid!r}")
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        expect(str(subject.dataset[keyword].value) not in known, f"{keyword} is one of the source's")
    _expect_one_content(subject)
    return f"{len(uids)} UIDs are valid, and its own are used by no other object"


def _expect_all_pixels(dataset: Dataset, syntax: UID) -> None:
    if "PixelData" in dataset and not syntax.is_encapsulated:
        length, wanted = len(dataset.PixelData), get_expected_length(dataset, unit="bytes")
        expect(
            wanted <= length <= wanted + PADDING,
            f"the pixel data have {length} bytes, rows, columns and frames need {wanted}",
        )


def _expect_one_content(subject: Subject) -> None:
    copies = subject.contents.known[subject.stored.text("SOPInstanceUID")]
    others = [one.path for one in copies if one.path.resolve() != subject.stored.path.resolve()]
    if others:
        content = sha256(subject.stored.path.read_bytes()).digest()
        differing = [path.name for path in others if sha256(path.read_bytes()).digest() != content]
        expect(not differing, f"{', '.join(differing)} bears the same SOPInstanceUID with other content")
