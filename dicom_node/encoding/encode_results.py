"""The stage that turns findings, or a refusal, into checked DICOM files."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset

from dicom_node.encoding import key_images, report, segmentation
from dicom_node.encoding.check_identity import complete
from dicom_node.encoding.check_key_images import check_key_images, check_pages
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.self_check import check_refusal, check_results
from dicom_node.encoding.source_attributes import identified_images
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from glianet.findings import Findings
from glianet.volume import Volume

__all__ = ["EncodedObject", "encode_refusal_results", "encode_results"]


def encode_results(
    source: SourceSeries,
    findings: Findings,
    context: ResultContext,
    key_images_of: Callable[[], Volume] | None = None,
    *,
    without_pictures: bool = False,
) -> tuple[EncodedObject, ...]:
    """SEG and SR of `findings` as files, read back and checked; the SR alone where there is no lesion.

    key_images_of: gives the source's volume, where key images are wanted too; called where there is a lesion.
    without_pictures: a page of words in place of key images that could not be made. The same arguments give the same
    bytes.

    Raises:
        NodeError: the findings do not fit the source, or what was written does not say what was found.
    """
    with _reported():
        objects = _encode(source, findings, context)
        if without_pictures:
            pages = _files(key_images.encode_pictures_missing(source, findings, context))
            check_pages(pages, source.datasets)
        else:
            pages = [] if key_images_of is None else _encode_pages(source, findings, key_images_of, context)
        return (*objects, *pages)


def _encode(source: SourceSeries, findings: Findings, context: ResultContext) -> tuple[EncodedObject, ...]:
    mask = segmentation.encode_segmentation(source, findings, context) if findings.lesions else None
    document = report.encode_report(source, findings, mask, context)
    objects = [] if mask is None else [to_part10(segmentation.ROLE, mask)]
    objects.append(to_part10(report.ROLE, document))
    check_results(objects, source, findings)
    return tuple(objects)


def _encode_pages(
    source: SourceSeries, findings: Findings, read: Callable[[], Volume], context: ResultContext
) -> list[EncodedObject]:
    if findings.lesions:
        drawn = key_images.encode_key_images(source, findings, read(), context)
    else:
        drawn = key_images.encode_nothing_found(source, findings, context)
    pages = _files(drawn)
    with complete("key images"):
        check_key_images(pages, source, findings)
    return pages


def _files(pages: Sequence[Dataset]) -> list[EncodedObject]:
    return [to_part10(key_images.page_role(number), page) for number, page in enumerate(pages, start=1)]


def encode_refusal_results(
    headers: Sequence[Dataset],
    reason_code: Reason,
    reason_detail: str,
    context: ResultContext,
    *,
    with_key_image: bool = False,
) -> tuple[EncodedObject, ...]:
    """The SR that says why a series was not analysed, as a file, read back and checked; on a page too, where wanted.

    Raises:
        NodeError: no header names its study and series, or the file does not say what it should.
    """
    with _reported():
        document = report.encode_refusal(headers, reason_code, reason_detail, context)
        encoded = to_part10(report.ROLE, document)
        check_refusal(encoded, identified_images(headers))
        if not with_key_image:
            return (encoded,)
        images = identified_images(headers)
        pages = _files(key_images.encode_refusal_key_image(images[0], reason_code, context))
        with complete("key images"):
            check_pages(pages, images)
        return (encoded, *pages)


@contextmanager
def _reported() -> Iterator[None]:
    """pydicom and highdicom answer a header that they cannot take with many kinds of exceptions."""
    try:
        yield
    except DAMAGED as error:
        what = f"the results cannot be encoded: {type(error).__name__}: {error}"
        raise NodeError(what, where="encoding", advice="look at the headers of the source series") from error
