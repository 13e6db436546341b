"""Reading results back from their bytes before they leave: do they say what was found, about these images?

Nothing of the encoder is used here: files are parsed with pydicom alone, pixels are put back by the positions
that the frames state, and what they give is held against the source's headers and the findings.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.check_report import check_lesion_groups, check_outcome
from dicom_node.encoding.check_segmentation import check_segmentation
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

ABSENT, UNDETERMINED = "272519000", "373068000"  # SNOMED CT


def check_results(objects: Sequence[EncodedObject], source: SourceSeries, findings: Findings) -> None:
    """Pass if the SEG and SR in `objects` agree with the source's headers and with the findings.

    Raises:
        NodeError: naming what is wrong: transfer syntax, identifiers, patient or study, references, frame of
            reference, mask, tracking identifiers, or a measurement.
    """
    roles = [encoded.role for encoded in objects]
    expected = ["seg", "sr"] if findings.lesions else ["sr"]
    require(roles == expected, f"the results are {roles}, not {expected}", "results")
    with complete("results"):
        document = check_identity(objects[-1], Comprehensive3DSRStorage, source.datasets)
        if findings.lesions:
            segmentation = check_identity(objects[0], SegmentationStorage, source.datasets)
            voxels = check_segmentation(segmentation, source, findings)
            check_lesion_groups(document, segmentation, voxels, source, findings)
        else:
            check_outcome(document, source.datasets, ABSENT)


def check_refusal(encoded: EncodedObject, headers: Sequence[Dataset]) -> None:
    """Pass if the SR belongs to the study of `headers` and leaves the outcome undetermined.

    Raises:
        NodeError: naming what is wrong.
    """
    with complete("report"):
        document = check_identity(encoded, Comprehensive3DSRStorage, headers)
        check_outcome(document, headers, UNDETERMINED)
