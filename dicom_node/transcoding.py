"""A result in another transfer syntax, for a destination that takes no other: the same object, the same UIDs."""

from io import BytesIO

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicom_node.destination_settings import TransferSyntax
from dicom_node.errors import NodeError

TRANSFER_SYNTAXES: dict[TransferSyntax, UID] = {
    "explicit-little-endian": ExplicitVRLittleEndian,
    "implicit-little-endian": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle-lossless": RLELossless,
}
LEAST_BITS_OF_RLE = 8  # PS3.5 annex G codes bytes


def transcode(data: bytes, wanted: TransferSyntax) -> bytes:
    """The Part 10 file `data`, explicit little endian, in the transfer syntax `wanted` (PS3.5 annex A).

    RLE is for pixels of whole bytes: what has none (reports, presentation states, documents), a bit for each
    (binary segmentations) or floating point numbers stays explicit little endian.

    Raises:
        NodeError: pixels are not the same after they were compressed.
    """
    dataset = dcmread(BytesIO(data))
    syntax = _possible(dataset, TRANSFER_SYNTAXES[wanted])
    if syntax == dataset.file_meta.TransferSyntaxUID:
        return data
    if syntax == RLELossless:
        _compress(dataset)
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dcmwrite(buffer, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()


def _possible(dataset: Dataset, syntax: UID) -> UID:
    bytewise = "PixelData" in dataset and dataset.BitsAllocated >= LEAST_BITS_OF_RLE
    return syntax if syntax != RLELossless or bytewise else ExplicitVRLittleEndian


def _compress(dataset: Dataset) -> None:
    before = dataset.pixel_array
    dataset.compress(RLELossless, generate_instance_uid=False)
    if not (dataset.pixel_array == before).all():
        raise NodeError(
            "pixels are not the same after RLE compression",
            where=str(dataset.SOPInstanceUID),
            advice='set transfer_syntax = "explicit-little-endian" for this destination, and report this',
        )
