"""The Encapsulated PDF: read by pypdf, right in length and references, the same bytes every time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage
from pypdf import PdfReader

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.check_pdf import check_pdf
from dicom_node.encoding.encapsulated_pdf import encode_pdf
from dicom_node.encoding.pages.sheet import Picture, statement_page
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.errors import NodeError
from dicom_node.result_kinds import PDF
from tests.support.ct_source import ROOT, CtSource, write_ct
from tests.support.damage import give_to_another_patient
from tests.support.made_findings import make_context
from tests.support.validators import complaints

SMALL = CtSource(slices=3, rows=24, columns=30)
ENHANCED = replace(SMALL, kind="enhanced")
NAMED = SMALL.with_attributes(SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=\u738b^\u5c0f\u6771")
Change = Callable[[Dataset], None]


def pages(count: int = 3) -> list[Picture]:
    """Pages of words, told apart by a square in the middle, lighter from page to page."""
    pictures = []
    for number in range(count):
        picture = statement_page(f"Page {number + 1}", ["Some words"], ["by whom"]).copy()
        picture[500:600, 500:600] = 40 * (number + 1), 80, 160
        pictures.append(picture)
    return pictures


def made(
    folder: Path, wanted: CtSource = SMALL, count: int = 3, *, analysed: bool = True
) -> tuple[EncodedObject, tuple[Dataset, ...]]:
    headers = read_headers(write_ct(folder, wanted))
    document = encode_pdf(pages(count), headers[0], make_context(), analysed=analysed)
    return to_part10(PDF, document), headers


def read(encoded: EncodedObject) -> Dataset:
    return dcmread(BytesIO(encoded.data))


def pdf(document: Dataset) -> PdfReader:
    return PdfReader(BytesIO(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]), strict=True)


def test_every_page_is_there_in_order(tmp_path: Path) -> None:
    reader = pdf(read(made(tmp_path)[0]))
    assert len(reader.pages) == 3
    for page, picture in zip(reader.pages, pages(), strict=True):
        (image,) = page.images
        shown = np.asarray(image.image, np.int16)
        assert shown.shape == (1024, 1024, 3)
        assert np.abs(shown - picture).mean() < 0.5, "of 255: JPEG of high quality"
        assert np.abs(shown[510:590, 510:590] - picture[510:590, 510:590]).max() <= 3
        assert float(page.mediabox.width) == float(page.mediabox.height) == pytest.approx(1024 * 72 / 150)


def test_what_it_says_about_itself(tmp_path: Path) -> None:
    document = read(made(tmp_path)[0])
    assert document.SOPClassUID == EncapsulatedPDFStorage
    assert (document.Modality, document.SeriesNumber, document.InstanceNumber) == ("DOC", 9807, 1)
    assert document.SeriesDescription == "GLIA-Net key images as PDF (research), series 4"
    assert document.DocumentTitle == "Aneurysm candidates by algorithm, for research use only"
    assert (document.MIMETypeOfEncapsulatedDocument, document.BurnedInAnnotation) == ("application/pdf", "NO")
    assert (document.VerificationFlag, document.ContentQualification) == ("UNVERIFIED", "RESEARCH")
    assert (document.ContentDate, document.ContentTime) == ("20260115", "102030")
    (title,) = document.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("126000", "DCM")
    (processing,) = document.ContributingEquipmentSequence
    assert "For research use only" in processing.ContributionDescription


def test_the_pdf_says_so_too_and_when_it_was_concluded(tmp_path: Path) -> None:
    about = pdf(read(made(tmp_path)[0])).metadata
    assert about is not None
    assert about.title == "Aneurysm candidates by algorithm, for research use only"
    assert about.creation_date == about.modification_date == datetime(2026, 1, 15, 10, 20, 30, tzinfo=UTC)


def test_its_length_is_even_and_the_pdf_is_not_padded(tmp_path: Path) -> None:
    parities = set()
    for count in range(1, 7):
        document = read(made(tmp_path / str(count), count=count)[0])
        length, data = document.EncapsulatedDocumentLength, document.EncapsulatedDocument
        assert len(data) % 2 == 0 and length in (len(data), len(data) - 1)
        assert data[:length].endswith(b"%%EOF") and data[:5] == b"%PDF-"
        parities.add(length % 2)
    assert parities == {0, 1}, "odd lengths have not been tried"


def test_a_series_that_was_not_analysed_gets_one_too(tmp_path: Path) -> None:
    document = read(made(tmp_path, count=1, analysed=False)[0])
    assert document.DocumentTitle == "Series not analysed for aneurysms, for research use only"
    assert document.SeriesDescription.endswith("not analysed")


def test_it_refers_to_the_images_that_are_passed_each_once(tmp_path: Path) -> None:
    headers = read_headers(write_ct(tmp_path, SMALL))
    items = []
    for image in (headers[2], headers[0], headers[2]):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        item.ReferencedFrameNumber = 5
        items.append(item)
    document = encode_pdf(pages(1), headers[0], make_context(), analysed=True, references=items)
    named = document.SourceInstanceSequence
    assert [item.ReferencedSOPInstanceUID for item in named] == [headers[n].SOPInstanceUID for n in (2, 0)]
    assert all("ReferencedFrameNumber" not in item for item in named)
    alone = encode_pdf(pages(1), headers[1], make_context(), analysed=True)
    assert [item.ReferencedSOPInstanceUID for item in alone.SourceInstanceSequence] == [headers[1].SOPInstanceUID]


def test_the_same_pages_give_the_same_bytes(tmp_path: Path) -> None:
    assert made(tmp_path / "a")[0].data == made(tmp_path / "b")[0].data


def test_without_a_page_or_an_identifier_there_is_no_document(tmp_path: Path) -> None:
    (header, *_) = read_headers(write_ct(tmp_path, SMALL))
    with pytest.raises(NodeError, match="there is no page"):
        encode_pdf([], header, make_context(), analysed=True)
    del header.StudyInstanceUID
    with pytest.raises(NodeError, match="the source has no StudyInstanceUID"):
        encode_pdf(pages(1), header, make_context(), analysed=True)


@pytest.mark.parametrize("wanted", [SMALL, ENHANCED, NAMED], ids=["classic", "enhanced", "Chinese name"])
def test_validators_find_no_error_and_the_self_check_passes(tmp_path: Path, wanted: CtSource) -> None:
    encoded, headers = made(tmp_path / "source", wanted)
    check_pdf(encoded, headers, 3)
    assert read(encoded).PatientName == headers[0].PatientName
    assert errors(encoded, tmp_path / "pdf.dcm") == set()


def errors(encoded: EncodedObject, file: Path) -> set[str]:
    file.write_bytes(encoded.data)
    return complaints(file)


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    document = read(encoded)
    change(document)
    return replace(encoded, data=to_part10(encoded.role, document).data)


def test_dciodvfy_would_find_an_error(tmp_path: Path) -> None:
    def forget_the_type(document: Dataset) -> None:
        del document.MIMETypeOfEncapsulatedDocument

    found = errors(changed(made(tmp_path / "source")[0], forget_the_type), tmp_path / "pdf.dcm")
    assert any("MIMETypeOfEncapsulatedDocument" in line for line in found)


def cut_the_document(document: Dataset) -> None:
    document.EncapsulatedDocument = document.EncapsulatedDocument[:1000]
    document.EncapsulatedDocumentLength = 1000


def cut_the_middle(document: Dataset) -> None:
    data = document.EncapsulatedDocument
    document.EncapsulatedDocument = data[:1000] + data[1100:]
    document.EncapsulatedDocumentLength -= 100


def count_the_padding_wrongly(document: Dataset) -> None:
    document.EncapsulatedDocumentLength -= 2


def put_something_else_in(document: Dataset) -> None:
    document.EncapsulatedDocument = b"GIF89a" + document.EncapsulatedDocument[6:]


def call_it_something_else(document: Dataset) -> None:
    document.MIMETypeOfEncapsulatedDocument = "text/plain"


def verify_it(document: Dataset) -> None:
    document.VerificationFlag = "VERIFIED"


def approve_it(document: Dataset) -> None:
    document.ContentQualification = "PRODUCT"


def forget_the_notice(document: Dataset) -> None:
    document.DocumentTitle = "Aneurysms"


def refer_to_a_stranger(document: Dataset) -> None:
    document.SourceInstanceSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.8"


def refer_to_nothing(document: Dataset) -> None:
    document.SourceInstanceSequence = []


def drop_the_document(document: Dataset) -> None:
    del document.EncapsulatedDocument


WRONG: dict[Change, str] = {
    cut_the_document: "the PDF is not whole",
    cut_the_middle: "the PDF is not whole",
    count_the_padding_wrongly: "is said to have",
    put_something_else_in: "the document begins with",
    call_it_something_else: "described as",
    verify_it: "described as",
    approve_it: "not marked as research",
    forget_the_notice: "its title is 'Aneurysms'",
    refer_to_a_stranger: "it refers to images that are not the source's",
    refer_to_nothing: "or to none",
    give_to_another_patient: "in PatientID",
    drop_the_document: "missing or damaged",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_the_self_check_finds_what_is_wrong(tmp_path: Path, change: Change) -> None:
    encoded, headers = made(tmp_path)
    with pytest.raises(NodeError, match=WRONG[change]):
        check_pdf(changed(encoded, change), headers, 3)


def test_the_self_check_counts_pages(tmp_path: Path) -> None:
    encoded, headers = made(tmp_path)
    check_pdf(encoded, headers, 3)
    with pytest.raises(NodeError, match="the PDF has 3 pages, not 4"):
        check_pdf(encoded, headers, 4)
