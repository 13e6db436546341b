"""Reading results back from their bytes before they leave: do they say what was found, about these images?

Nothing of the encoder is used here: files are parsed with pydicom alone, pixels are put back by the positions
that the frames state, and what they give is held against the source's headers and the findings.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SegmentationStorage,
)

from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.check_report import check_lesion_groups, check_outcome
from dicom_node.encoding.check_segmentation import FoundSegment, check_segmentations
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import LABEL_MAP_STORAGE, REPORTS, SEGMENTATIONS
from glianet.findings import Findings

ABSENT, UNDETERMINED = "272519000", "373068000"  # SNOMED CT
SEGMENTATION_CLASSES = {"binary": SegmentationStorage, "labelmap": LABEL_MAP_STORAGE}
REPORT_CLASSES = {
    "comprehensive-3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}


def check_results(objects: Sequence[EncodedObject], source: SourceSeries, findings: Findings) -> None:
    """Pass if SEG and SR agree with the source's headers, with the findings and with one another.

    objects: the Segmentations of one form, in the order of the lesions, and a report that refers to them.

    Raises:
        NodeError: naming what is wrong: transfer syntax, identifiers, patient or study, references, frame of
            reference, mask, tracking identifiers, or a measurement.
    """
    report = objects[-1]
    _check_kinds(objects, findings)
    with complete("results"):
        document = check_identity(report, REPORT_CLASSES[REPORTS[report.kind][1]], source.datasets)
        if findings.lesions:
            check_lesion_groups(document, _read_segments(objects[:-1], source, findings), source, findings)
        else:
            check_outcome(document, source.datasets, ABSENT)


def check_refusal(encoded: EncodedObject, headers: Sequence[Dataset]) -> None:
    """Pass if the SR belongs to the study of `headers` and leaves the outcome undetermined.

    Raises:
        NodeError: naming what is wrong.
    """
    with complete("report"):
        document = check_identity(encoded, REPORT_CLASSES[REPORTS[encoded.kind][1]], headers)
        check_outcome(document, headers, UNDETERMINED)


def _check_kinds(objects: Sequence[EncodedObject], findings: Findings) -> None:
    kinds = [encoded.kind for encoded in objects]
    require(kinds and kinds[-1] in REPORTS, f"the results are {kinds}, without a report at their end", "results")
    form = REPORTS[kinds[-1]][0]
    count = len(findings.lesions) if form.apart else min(len(findings.lesions), 1)
    expected = [form.result_kind] * count + kinds[-1:]
    require(kinds == expected, f"the results are {kinds}, not {expected}", "results")


def _read_segments(
    objects: Sequence[EncodedObject], source: SourceSeries, findings: Findings
) -> list[FoundSegment]:
    datasets = [
        check_identity(one, SEGMENTATION_CLASSES[SEGMENTATIONS[one.kind].kind], source.datasets) for one in objects
    ]
    return check_segmentations(datasets, source, findings)
