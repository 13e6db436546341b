"""The self-check of the segmentation: finds every kind of wrong one."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from dicom_node.encoding.encode_results import encode_results
from dicom_node.encoding.self_check import check_results
from dicom_node.errors import NodeError
from tests.support.ct_source import ROOT, CtSource
from tests.support.damage import (
    drop_a_segment,
    exchange_segments,
    move_to_another_frame_of_reference,
    repeat_a_tracking_uid,
)
from tests.support.encoded_results import IN_BOTH, Made, changed, make_results
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.result_folder import BLOCKS, Change


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_results(tmp_path_factory.mktemp("source"))


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


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("change", [*IN_BOTH, *IN_SEGMENTATION], ids=lambda change: change.__name__)
def test_wrong_segmentation_is_found(made: Made, change: Change) -> None:
    source, findings, (segmentation, report) = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_SEGMENTATION)[change]):
        check_results([changed(segmentation, change), report], source, findings)


def test_frame_of_a_multi_frame_source_is_checked(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource(slices=12, rows=24, columns=26, kind="enhanced"))
    findings = make_findings(source, BLOCKS)
    segmentation, report = encode_results(source, findings, make_context()).objects

    def name_another_frame(dataset: Dataset) -> None:
        frame(dataset).DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 11

    with pytest.raises(NodeError, match="a frame lies at"):
        check_results([changed(segmentation, name_another_frame), report], source, findings)
