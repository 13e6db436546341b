"""Self-check of the Encapsulated PDF: a whole PDF with as many pages as there should be, about these images."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.part10 import EncodedObject

WHERE = "PDF"
PAGE_OBJECT = re.compile(rb"/Type\s*/Page(?![A-Za-z])")  # ISO 32000-1 section 7.7.3.3
TABLE_OFFSET = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")  # ISO 32000-1 section 7.5.5


def check_pdf(encoded: EncodedObject, sources: Sequence[Dataset], pages: int) -> None:
    """Pass if the object holds a whole PDF of `pages` pages and refers to images of `sources` alone.

    Raises:
        NodeError: naming what is wrong.
    """
    with complete(WHERE):
        document = check_identity(encoded, EncapsulatedPDFStorage, sources)
        _check_description(document)
        _check_sources(document, sources)
        data = _document_bytes(document)
        _check_structure(data)
        found = len(PAGE_OBJECT.findall(data))
        require(found == pages, f"the PDF has {found} pages, not {pages}", WHERE)


def _check_description(document: Dataset) -> None:
    stated = document.MIMETypeOfEncapsulatedDocument, document.BurnedInAnnotation, document.VerificationFlag
    require(stated == ("application/pdf", "NO", "UNVERIFIED"), f"the document is described as {stated}", WHERE)
    require(document.ContentQualification == "RESEARCH", "the document is not marked as research", WHERE)
    require("research" in document.DocumentTitle, f"its title is {document.DocumentTitle!r}", WHERE)


def _check_sources(document: Dataset, sources: Sequence[Dataset]) -> None:
    known = {(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in sources}
    named = [
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for item in document.SourceInstanceSequence
    ]
    proper = named and set(named) <= known and len(set(named)) == len(named)
    require(proper, "it refers to images that are not the source's, to one twice, or to none", WHERE)


def _document_bytes(document: Dataset) -> bytes:
    """The PDF without its padding to even length (PS3.3 C.24.2)."""
    padded, length = bytes(document.EncapsulatedDocument), int(document.EncapsulatedDocumentLength)
    proper = length <= len(padded) <= length + 1 and not padded[length:].strip(b"\0")
    require(proper, f"the document is said to have {length} bytes of {len(padded)}", WHERE)
    return padded[:length]


def _check_structure(data: bytes) -> None:
    """Head, tail, and a tail that points to the table of objects: it is whole."""
    require(data.startswith(b"%PDF-"), f"the document begins with {data[:5]!r}", WHERE)
    tail = TABLE_OFFSET.search(data)
    require(tail and data[int(tail[1]) :].startswith(b"xref"), "the PDF is not whole", WHERE)
