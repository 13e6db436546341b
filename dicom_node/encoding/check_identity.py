"""Self-check, first part: is this a proper file of the right kind, patient and study?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.encoding.copied_attributes import COPIED_ATTRIBUTES
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.identifiers import is_valid_uid
from dicom_node.legible import IDENTIFYING, is_legible

SOURCE_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def check_identity(encoded: EncodedObject, sop_class_uid: str, sources: Sequence[Dataset]) -> Dataset:
    """The dataset in `encoded`, read from its bytes, once its identifiers, patient and study are right.

    Raises:
        NodeError: it cannot be read, its transfer syntax or SOP Class is another, a UID is invalid or the
            source's own, or the patient or study differ from the source's.
    """
    where = encoded.role.upper()
    dataset = _parse(encoded, where)
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    require(syntax == ExplicitVRLittleEndian, f"the transfer syntax is {syntax}", where)
    _check_identifiers(dataset, encoded, sop_class_uid, where)
    _check_uids(dataset, sources, where)
    _check_patient_and_study(dataset, sources[0], where)
    return dataset


@contextmanager
def complete(where: str) -> Iterator[None]:
    """Turn what pydicom raises at an absent or damaged attribute into a NodeError."""
    try:
        yield
    except (*DAMAGED, OSError) as error:
        require(False, f"an attribute is missing or damaged: {type(error).__name__}: {error}", where)


def require(condition: object, what: str, where: str) -> None:
    """Raise a NodeError that says `what` is wrong unless `condition` holds."""
    if not condition:
        raise NodeError(
            what, where=f"self-check of {where}", advice="nothing was sent; report this with the audit log"
        )


def _parse(encoded: EncodedObject, where: str) -> Dataset:
    try:
        dataset = dcmread(BytesIO(encoded.data))
    except (*DAMAGED, OSError) as error:
        raise NodeError(f"the bytes cannot be read: {error}", where=f"self-check of {where}") from error
    return dataset


def _check_identifiers(dataset: Dataset, encoded: EncodedObject, sop_class_uid: str, where: str) -> None:
    meta = dataset.file_meta
    classes = {dataset.get("SOPClassUID"), meta.get("MediaStorageSOPClassUID"), encoded.sop_class_uid}
    require(classes == {sop_class_uid}, f"the SOP Class is {sorted(map(str, classes))}", where)
    instances = {dataset.get("SOPInstanceUID"), meta.get("MediaStorageSOPInstanceUID")}
    require(instances == {encoded.sop_instance_uid}, "the SOP Instance UIDs do not agree", where)
    series = dataset.get("SeriesInstanceUID")
    require(series == encoded.series_instance_uid, "the Series Instance UIDs do not agree", where)


def _check_uids(dataset: Dataset, sources: Sequence[Dataset], where: str) -> None:
    """UIDs that the source brought are what they are; all others must be valid, the result's own new."""
    brought = {str(source.get(keyword)) for source in sources for keyword in SOURCE_UIDS}
    for top in dataset:
        if top.keyword in COPIED_ATTRIBUTES:
            continue
        for keyword, uid in uids_of(top):
            require(is_valid_uid(uid) or uid in brought, f"{keyword} holds the invalid UID {uid!r}", where)
    own = {str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)}
    require(not own & brought, "the result bears a UID of the source", where)


def uids_of(element: DataElement) -> Iterator[tuple[str, str]]:
    """Keyword and value of every UID in an element, in the items of a sequence too."""
    if element.VR == "SQ":
        for item in element.value:
            for inner in item:
                yield from uids_of(inner)
    elif element.VR == "UI":
        for uid in [element.value] if element.VM <= 1 else element.value:
            yield element.keyword, str(uid)


def _check_patient_and_study(dataset: Dataset, source: Dataset, where: str) -> None:
    wrong = [name for name in COPIED_ATTRIBUTES if comparable(dataset, name) != comparable(source, name)]
    require(not wrong, f"patient or study differ from the source in {', '.join(wrong)}", where)


def comparable(dataset: Dataset, keyword: str) -> object:
    """The value in a form that does not depend on how it was read; absent and empty are the same.

    So is what is not written as what it is, but for what identifies the patient and the study.
    """
    if keyword not in dataset or not (keyword in IDENTIFYING or is_legible(dataset, keyword)):
        return None
    try:
        element = dataset[keyword]
    except DAMAGED:  # such as the Patient's Weight "70,5": compare the bytes
        return bytes(dataset.get_item(keyword).value).rstrip(b" \0")
    if element.is_empty:
        return None
    return element.value if element.VR == "SQ" else str(element.value)
