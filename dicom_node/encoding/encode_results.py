"""The stage that turns findings, or a refusal, into checked DICOM files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset

from dicom_node.encoding import report, segmentation
from dicom_node.encoding.context import ResultContext
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.self_check import check_refusal, check_results
from dicom_node.encoding.source_attributes import identified_images
from dicom_node.errors import NodeError
from dicom_node.frames import DAMAGED
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from glianet.findings import Findings

__all__ = ["EncodedObject", "encode_refusal_results", "encode_results"]


def encode_results(
    source: SourceSeries, findings: Findings, context: ResultContext
) -> tuple[EncodedObject, ...]:
    """SEG and SR of `findings` as files, read back and checked; the SR alone where there is no lesion.

    The same arguments give the same bytes.

    Raises:
        NodeError: the findings do not fit the source, or what was written does not say what was found.
    """
    with _reported():
        return _encode(source, findings, context)


def _encode(source: SourceSeries, findings: Findings, context: ResultContext) -> tuple[EncodedObject, ...]:
    mask = segmentation.encode_segmentation(source, findings, context) if findings.lesions else None
    document = report.encode_report(source, findings, mask, context)
    objects = [] if mask is None else [to_part10(segmentation.ROLE, mask)]
    objects.append(to_part10(report.ROLE, document))
    check_results(objects, source, findings)
    return tuple(objects)


def encode_refusal_results(
    headers: Sequence[Dataset], reason_code: Reason, reason_detail: str, context: ResultContext
) -> tuple[EncodedObject, ...]:
    """The SR that says why a series was not analysed, as a file, read back and checked.

    Raises:
        NodeError: no header names its study and series, or the file does not say what it should.
    """
    with _reported():
        document = report.encode_refusal(headers, reason_code, reason_detail, context)
        encoded = to_part10(report.ROLE, document)
        check_refusal(encoded, identified_images(headers))
    return (encoded,)


@contextmanager
def _reported() -> Iterator[None]:
    """pydicom and highdicom answer a header that they cannot take with many kinds of exceptions."""
    try:
        yield
    except DAMAGED as error:
        what = f"the results cannot be encoded: {type(error).__name__}: {error}"
        raise NodeError(what, where="encoding", advice="look at the headers of the source series") from error
