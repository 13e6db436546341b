"""The self-check: lets right results pass, and finds every kind of wrong one."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.encoding.encode_results import encode_refusal_results, encode_results
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.self_check import check_refusal, check_results
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from glianet.findings import Findings
from tests.support.ct_source import ROOT, CtSource
from tests.support.damage import (
    drop_a_segment,
    exchange_segments,
    give_to_another_patient,
    move_to_another_frame_of_reference,
    repeat_a_tracking_uid,
)
from tests.support.made_findings import make_context, make_findings, read_source

BLOCKS = [((2, 6), (10, 16), (9, 15)), ((8, 9), (1, 4), (2, 5))]
Made = tuple[SourceSeries, Findings, tuple[EncodedObject, ...]]
Change = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    source = read_source(tmp_path_factory.mktemp("source"), CtSource(slices=12, rows=24, columns=26))
    findings = make_findings(source, BLOCKS)
    return source, findings, encode_results(source, findings, make_context()).objects


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    """The result with something wrong in its data set; role and identifiers are those announced before."""
    dataset = dcmread(BytesIO(encoded.data))
    change(dataset)
    return replace(encoded, data=to_part10(encoded.role, dataset).data)


def masks(segmentation: Dataset) -> np.ndarray:
    shape = int(segmentation.NumberOfFrames), segmentation.Rows, segmentation.Columns
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), bitorder="little")
    return bits[: np.prod(shape)].reshape(shape)


def put(segmentation: Dataset, frames: np.ndarray) -> None:
    data = np.packbits(frames.ravel(), bitorder="little").tobytes()
    segmentation.PixelData = data + bytes(len(data) % 2)


def mirror(segmentation: Dataset) -> None:
    put(segmentation, masks(segmentation)[:, :, ::-1])


def turn_over(segmentation: Dataset) -> None:
    put(segmentation, masks(segmentation)[:, ::-1])


def lose_a_voxel(segmentation: Dataset) -> None:
    frames = masks(segmentation).copy()
    frames[tuple(np.argwhere(frames)[0])] = 0
    put(segmentation, frames)


def truncate(segmentation: Dataset) -> None:
    segmentation.PixelData = segmentation.PixelData[:-10]


def frame(segmentation: Dataset, index: int = 0) -> Dataset:
    return segmentation.PerFrameFunctionalGroupsSequence[index]


def shift_a_slice(segmentation: Dataset) -> None:
    position = frame(segmentation).PlanePositionSequence[0]
    x, y, z = position.ImagePositionPatient
    position.ImagePositionPatient = [x, y, float(z) + 0.6]


def exchange_two_slices(segmentation: Dataset) -> None:
    """Positions and references both move, so that only the voxels tell."""
    first, second = frame(segmentation, 0), frame(segmentation, -1)
    for keyword in ("PlanePositionSequence", "DerivationImageSequence"):
        first[keyword].value, second[keyword].value = second[keyword].value, first[keyword].value


def refer_to_the_neighbour(segmentation: Dataset) -> None:
    image = frame(segmentation).DerivationImageSequence[0].SourceImageSequence[0]
    last = frame(segmentation, 1).DerivationImageSequence[0].SourceImageSequence[0]
    image.ReferencedSOPInstanceUID = last.ReferencedSOPInstanceUID


def refer_to_a_stranger(segmentation: Dataset) -> None:
    frame(segmentation).DerivationImageSequence[0].SourceImageSequence[
        0
    ].ReferencedSOPInstanceUID = f"{ROOT}.8"


def name_another_series(segmentation: Dataset) -> None:
    segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID = f"{ROOT}.8"


def name_another_image(segmentation: Dataset) -> None:
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[
        0
    ].ReferencedSOPInstanceUID = f"{ROOT}.8"


def forget_the_series(segmentation: Dataset) -> None:
    del segmentation.ReferencedSeriesSequence


def shared(segmentation: Dataset) -> Dataset:
    return segmentation.SharedFunctionalGroupsSequence[0]


def turn_the_orientation(segmentation: Dataset) -> None:
    shared(segmentation).PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def widen_the_pixels(segmentation: Dataset) -> None:
    shared(segmentation).PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.55]


def widen_the_slices(segmentation: Dataset) -> None:
    shared(segmentation).PixelMeasuresSequence[0].SpacingBetweenSlices = "0.7"


def change_the_segments_tracking_uid(segmentation: Dataset) -> None:
    segmentation.SegmentSequence[0].TrackingUID = f"{ROOT}.8"


def put_both_on_the_same_voxels(segmentation: Dataset) -> None:
    frames = masks(segmentation).copy()
    last = frame(segmentation, -1)
    last.PlanePositionSequence = frame(segmentation).PlanePositionSequence
    last.DerivationImageSequence = frame(segmentation).DerivationImageSequence
    frames[-1] = frames[0]
    put(segmentation, frames)


def move_to_another_study(dataset: Dataset) -> None:
    dataset.StudyInstanceUID = f"{ROOT}.8"


def change_the_name(dataset: Dataset) -> None:
    dataset.PatientName = "Test^Casey"


def drop_the_accession_number(dataset: Dataset) -> None:
    del dataset.AccessionNumber


def spoil_a_uid(dataset: Dataset) -> None:
    dataset.DeviceUID = "2.25.00123"


def join_the_source_series(dataset: Dataset) -> None:
    dataset.SeriesInstanceUID = f"{ROOT}.2"


def claim_another_class(dataset: Dataset) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def change_the_transfer_syntax(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


IN_BOTH: dict[Change, str] = {
    move_to_another_study: "patient or study differ from the source in StudyInstanceUID",
    give_to_another_patient: "in PatientID",
    change_the_name: "in PatientName",
    drop_the_accession_number: "in AccessionNumber",
    spoil_a_uid: "DeviceUID holds the invalid UID '2.25.00123'",
    join_the_source_series: "Series Instance UIDs do not agree",
    claim_another_class: "the SOP Class is",
    change_the_transfer_syntax: "the transfer syntax is 1.2.840.10008.1.2",
}
IN_SEGMENTATION: dict[Change, str] = {
    mirror: "voxels differ from the mask",
    turn_over: "voxels differ from the mask",
    lose_a_voxel: "1 voxels differ from the mask",
    exchange_two_slices: "voxels differ from the mask",
    exchange_segments: "voxels differ from the mask",
    truncate: "the pixel data are shorter",
    shift_a_slice: "a frame lies at",
    refer_to_the_neighbour: "a frame lies at",
    refer_to_a_stranger: "that Referenced Series Sequence does not name",
    name_another_series: "it refers to the series",
    name_another_image: "it names images that are not the source's",
    forget_the_series: r"it refers to the series \[\]",
    turn_the_orientation: "the orientation of a frame",
    widen_the_pixels: "the pixel spacing",
    widen_the_slices: "the volume is 21.45",  # 143 voxels of 0.15 mm3: the report is then the wrong one
    drop_a_segment: r"it has 1 segments for 2 lesions",
    repeat_a_tracking_uid: "tracking UIDs repeat",
    change_the_segments_tracking_uid: "the tracking UID is not the segment's",
    put_both_on_the_same_voxels: "two segments share a voxel",
    move_to_another_frame_of_reference: "the frame of reference is not the source's",
}


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


def test_right_results_pass(made: Made) -> None:
    source, findings, objects = made
    check_results(objects, source, findings)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("change", [*IN_BOTH, *IN_SEGMENTATION], ids=lambda change: change.__name__)
def test_wrong_segmentation_is_found(made: Made, change: Change) -> None:
    source, findings, (segmentation, report) = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_SEGMENTATION)[change]):
        check_results([changed(segmentation, change), report], source, findings)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("change", [*IN_BOTH, *IN_REPORT], ids=lambda change: change.__name__)
def test_wrong_report_is_found(made: Made, change: Change) -> None:
    source, findings, (segmentation, report) = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_REPORT)[change]):
        check_results([segmentation, changed(report, change)], source, findings)


def test_frame_of_a_multi_frame_source_is_checked(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource(slices=12, rows=24, columns=26, kind="enhanced"))
    findings = make_findings(source, BLOCKS)
    segmentation, report = encode_results(source, findings, make_context()).objects

    def name_another_frame(dataset: Dataset) -> None:
        frame(dataset).DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 11

    with pytest.raises(NodeError, match="a frame lies at"):
        check_results([changed(segmentation, name_another_frame), report], source, findings)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_damaged_file_is_found(made: Made) -> None:
    source, findings, (segmentation, report) = made
    for kept in range(200, len(segmentation.data), 300):
        with pytest.raises(NodeError, match="self-check"):
            check_results([replace(segmentation, data=segmentation.data[:kept]), report], source, findings)
    with pytest.raises(NodeError, match="the bytes cannot be read"):
        check_results([replace(segmentation, data=b"no DICOM"), report], source, findings)


def test_missing_result_is_found(made: Made) -> None:
    source, findings, (_, report) = made
    with pytest.raises(NodeError, match=r"the results are \['sr'\]"):
        check_results([report], source, findings)


def test_other_findings_are_found(made: Made) -> None:
    source, _, objects = made
    other = make_findings(source, [((3, 7), (10, 16), (9, 15)), BLOCKS[1]])
    with pytest.raises(NodeError, match="voxels differ"):
        check_results(objects, source, other)


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
