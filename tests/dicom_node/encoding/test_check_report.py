"""The self-check of the report: finds every kind of wrong one, of lesions, of none, and of a refusal."""

import pytest
from pydicom import Dataset

from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.encoding.self_check import check_refusal, check_results
from dicom_node.errors import NodeError
from dicom_node.reasons import Reason
from tests.support.ct_source import ROOT
from tests.support.damage import move_to_another_study
from tests.support.encoded_results import IN_BOTH, Made, changed, make_results
from tests.support.made_findings import make_context, make_findings
from tests.support.result_folder import Change


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_results(tmp_path_factory.mktemp("source"))


def groups(report: Dataset) -> list[Dataset]:
    (container,) = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    return list(container.ContentSequence)


def item(report: Dataset, code: str, group: int = 0, value_type: str = "") -> Dataset:
    for found in groups(report)[group].ContentSequence:
        if found.ConceptNameCodeSequence[0].CodeValue == code and value_type in ("", found.ValueType):
            return found
    raise AssertionError(f"no item {code}")


def state_another_volume(report: Dataset) -> None:
    item(report, "118565006").MeasuredValueSequence[0].NumericValue = "21.5"


def state_another_exact_volume(report: Dataset) -> None:
    item(report, "118565006").MeasuredValueSequence[0].FloatingPointValue = 21.5


def state_another_diameter(report: Dataset) -> None:
    item(report, "L0JK", group=1).MeasuredValueSequence[0].NumericValue = "3.3"


def state_another_tracking_uid(report: Dataset) -> None:
    item(report, "112040").UID = f"{ROOT}.8"


def state_another_tracking_identifier(report: Dataset) -> None:
    item(report, "112039").TextValue = "Aneurysm candidate 7"


def refer_to_another_segment(report: Dataset) -> None:
    item(report, "121191").ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def refer_to_another_segmentation(report: Dataset) -> None:
    item(report, "121191").ReferencedSOPSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.8"


def refer_to_a_slice_without_lesion(report: Dataset) -> None:
    item(report, "121233").ReferencedSOPSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.3.12"


def move_the_centre(report: Dataset) -> None:
    centre = item(report, "111010", value_type="SCOORD3D")
    x, y, z = centre.GraphicData
    centre.GraphicData = [x + 0.5, y, z]


def move_the_centre_elsewhere(report: Dataset) -> None:
    item(report, "111010", value_type="SCOORD3D").ReferencedFrameOfReferenceUID = f"{ROOT}.8"


def drop_a_group(report: Dataset) -> None:
    (container,) = [found for found in report.ContentSequence if found.ValueType == "CONTAINER"]
    del container.ContentSequence[1]


def drop_evidence(report: Dataset) -> None:
    del (
        report.CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[3]
    )


IN_REPORT: dict[Change, str] = {
    state_another_volume: "SR, lesion 1: the volume is 21.5, it should be 21.450",
    state_another_exact_volume: "the volume is",
    state_another_diameter: "SR, lesion 2: the diameter is 3.3",
    state_another_tracking_uid: "the tracking UID is not the segment's",
    state_another_tracking_identifier: "the tracking identifier is not the segment's",
    refer_to_another_segment: "it refers to segment 2",
    refer_to_another_segmentation: "that the evidence does not name",
    refer_to_a_slice_without_lesion: "its source images are not the segmentation's",
    move_the_centre: "the centre is",
    move_the_centre_elsewhere: "another frame of reference",
    drop_a_group: "it has 1 lesions",
    drop_evidence: "the evidence does not name every image",
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("change", [*IN_BOTH, *IN_REPORT], ids=lambda change: change.__name__)
def test_wrong_report_is_found(made: Made, change: Change) -> None:
    source, findings, (segmentation, report) = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_REPORT)[change]):
        check_results([segmentation, changed(report, change)], source, findings)


def answer(outcome: str) -> Change:
    def change(report: Dataset) -> None:
        item(report, "85659009").ConceptCodeSequence[0].CodeValue = outcome

    return change


def test_negative_report_must_say_absent(made: Made) -> None:
    source = made[0]
    findings = make_findings(source, [])
    (report,) = encode_results(source, findings, make_context()).objects
    check_results([report], source, findings)
    with pytest.raises(NodeError, match="the outcome is"):
        check_results([changed(report, answer("52101004"))], source, findings)


def test_refusal_must_say_undetermined(made: Made) -> None:
    headers = made[0].datasets
    (report,) = encode_refusal_results(headers, Reason.MISSING_SLICE, "gap of 1.2 mm", make_context()).objects
    check_refusal(report, headers)
    with pytest.raises(NodeError, match="the outcome is"):
        check_refusal(changed(report, answer("272519000")), headers)
    with pytest.raises(NodeError, match="in StudyInstanceUID"):
        check_refusal(changed(report, move_to_another_study), headers)
