"""The key image pages as one document: an Encapsulated PDF (PS3.3 A.45.1, C.24.2)."""

from collections.abc import Sequence
from io import BytesIO

from highdicom.sr import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from dicom_node.codes import IMAGING_MEASUREMENT_REPORT
from dicom_node.encoding.context import MANUFACTURER, ResultContext
from dicom_node.encoding.pages.sheet import Picture
from dicom_node.encoding.sentences import list_entry, plain
from dicom_node.encoding.source_attributes import IDENTIFIERS
from dicom_node.encoding.stamp import processing_equipment, stamp_result
from dicom_node.errors import NodeError
from dicom_node.result_kinds import PDF

PIXELS_PER_INCH = 150
"""A page of 1024 pixels is 173 mm wide, which A4 and US Letter hold."""
JPEG_QUALITY, NO_SUBSAMPLING = 95, 0
"""Pages are JPEG inside: letters and coloured outlines stay sharp at this quality with colours in full resolution."""
TITLE = "Aneurysm candidates by algorithm, for research use only"
TITLE_NOT_ANALYSED = "Series not analysed for aneurysms, for research use only"


def encode_pdf(
    pages: Sequence[Picture],
    header: Dataset,
    context: ResultContext,
    *,
    analysed: bool,
    references: Sequence[Dataset] = (),
    role: str = PDF,
) -> Dataset:
    """The pages, (1024, 1024, 3) uint8 RGB each, as an Encapsulated PDF in the study of `header`.

    references: items with the SOP Class and Instance UID of the source images that the pages were made from, as
    key image pages have them; frame numbers are left out and repeated images named once. Without any, the
    document refers to the image of `header`. role: among the results; the UIDs follow from it.

    Raises:
        NodeError: there is no page, or the source lacks a UID.
    """
    _check(pages, header)
    series_uid = str(header.SeriesInstanceUID)
    title = TITLE if analysed else TITLE_NOT_ANALYSED
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.SOPClassUID = EncapsulatedPDFStorage
    document.SOPInstanceUID = context.result_uid(role, "instance", series_uid)
    document.SeriesInstanceUID = context.result_uid(role, "series", series_uid)
    document.SeriesNumber = context.results.pdf_series_number
    document.SeriesDescription = list_entry(context.results.pdf_series_description, header, analysed=analysed)
    document.Modality = "DOC"  # PS3.3 C.24.1
    document.ConversionType = "SYN"  # PS3.3 C.8.6.1
    _add_equipment(document, context)
    stamp_result(document, header, context)
    _add_document(document, _write_pdf(pages, title, context), title)
    document.SourceInstanceSequence = _source_instances(references, header)
    return document


def _check(pages: Sequence[Picture], header: Dataset) -> None:
    if not pages:
        raise NodeError("there is no page", where="PDF")
    for keyword in IDENTIFIERS:
        if not header.get(keyword):
            raise NodeError(f"the source has no {keyword}", where="PDF")


def _add_equipment(document: Dataset, context: ResultContext) -> None:
    document.Manufacturer = MANUFACTURER
    document.ManufacturerModelName = context.algorithm_name
    document.SoftwareVersions = context.software_versions
    document.DeviceSerialNumber = context.node_ae_title
    document.ContributingEquipmentSequence = [processing_equipment(context)]


def _write_pdf(pages: Sequence[Picture], title: str, context: ResultContext) -> bytes:
    """A PDF with a page for each picture; its dates are when the analysis was concluded."""
    first, *others = [Image.fromarray(page, "RGB") for page in pages]
    moment = context.concluded_at.utctimetuple()
    buffer = BytesIO()
    first.save(
        buffer,
        "PDF",
        save_all=True,
        append_images=others,
        resolution=PIXELS_PER_INCH,
        quality=JPEG_QUALITY,
        subsampling=NO_SUBSAMPLING,
        title=title,
        author=MANUFACTURER,
        producer=plain(f"{context.algorithm_name} {context.algorithm_version}"),
        creationDate=moment,
        modDate=moment,
    )
    return buffer.getvalue()


def _add_document(document: Dataset, data: bytes, title: str) -> None:
    """The Encapsulated Document module (PS3.3 C.24.2); the length counts the PDF without its padding."""
    document.InstanceNumber = 1
    document.AcquisitionDateTime = None
    document.BurnedInAnnotation = "NO"  # nothing on a page tells who the patient is
    document.RecognizableVisualFeatures = "NO"
    document.DocumentTitle = title
    document.ConceptNameCodeSequence = [CodedConcept.from_code(IMAGING_MEASUREMENT_REPORT)]  # as the report's
    document.VerificationFlag = "UNVERIFIED"
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocument = data + bytes(len(data) % 2)
    document.EncapsulatedDocumentLength = len(data)


def _source_instances(references: Sequence[Dataset], header: Dataset) -> list[Dataset]:
    """Items of Source Instance Sequence (PS3.3 table 10-11): each image once."""
    named = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in references]
    items = []
    for sop_class_uid, sop_instance_uid in dict.fromkeys(named or [(header.SOPClassUID, header.SOPInstanceUID)]):
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        items.append(item)
    return items
