"""The head of a spooled file, against pydicom's encoder."""

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1

from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.receiver.part10 import encode_head


def by_pydicom(sop_instance_uid: str, transfer_syntax: str, ae_title: str) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SourceApplicationEntityTitle = ae_title
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta)
    return b"\0" * 128 + b"DICM" + buffer.getvalue()


@pytest.mark.parametrize("sop_instance_uid", ["1.2.3", "1.2.34", "2.25." + "9" * 39])
@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, JPEGLosslessSV1])
def test_head_is_what_pydicom_encodes(sop_instance_uid: str, transfer_syntax: str) -> None:
    head = encode_head(CTImageStorage, sop_instance_uid, transfer_syntax, "CT1")
    assert head == by_pydicom(sop_instance_uid, transfer_syntax, "CT1" + " " * 13)


def test_length_does_not_depend_on_the_sender() -> None:
    heads = [encode_head(CTImageStorage, "1.2.3", ExplicitVRLittleEndian, "A" * n) for n in range(1, 17)]
    assert {len(head) for head in heads} == {len(heads[0])}
    meta = dcmread(BytesIO(heads[4]), force=True).file_meta
    assert meta.SourceApplicationEntityTitle.strip() == "AAAAA"
