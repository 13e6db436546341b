"""A result as the bytes of a DICOM file (PS3.10)."""

from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


@dataclass(frozen=True)
class EncodedObject:
    """One result as it leaves: its role among the results of a series, its identifiers, and the bytes of its file.

    kind: what destinations ask for (`dicom_node.result_kinds`), where several objects serve one kind; else the role.
    """

    role: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    data: bytes
    kind: str


def to_part10(role: str, dataset: Dataset, kind: str = "") -> EncodedObject:
    """`dataset` with preamble and file meta information, in the transfer syntax that it names.

    The implementation that the file names is this node, not the library that built the data set.
    """
    dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return EncodedObject(
        role=role,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        data=buffer.getvalue(),
        kind=kind or role,
    )
