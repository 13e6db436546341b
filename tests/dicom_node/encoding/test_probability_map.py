"""The voxel scores as a FRACTIONAL SEG, on sources of every kind; its self-check finds every kind of wrong one."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.encoding.check_probability import check_probability
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.probability_map import encode_probability
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import PROBABILITY
from glianet.findings import Findings
from tests.support.ct_source import ROOT, SOURCES, CtSource
from tests.support.damage import drop_a_segment, exchange_segments, repeat_a_tracking_uid
from tests.support.made_findings import make_context, make_findings, many_blocks, read_source

BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5)), ((4, 7), (25, 27), (30, 33))]
Made = tuple[SourceSeries, Findings, np.ndarray, EncodedObject]
Change = Callable[[Dataset], None]


def made_scores(findings: Findings) -> np.ndarray:
    """Another number from 128 to 255 in every voxel, also outside the lesions, where it must not be sent."""
    return np.random.default_rng(7).integers(128, 256, findings.labels.shape).astype(np.uint8)


def encode(source: SourceSeries, findings: Findings, scores: np.ndarray) -> EncodedObject:
    return to_part10(PROBABILITY, encode_probability(source, findings, scores, make_context()))


@pytest.mark.parametrize("kind", SOURCES)
def test_each_score_lies_where_the_source_puts_it(tmp_path: Path, kind: str) -> None:
    """highdicom's own reader puts the frames into patient space; each score must be where it was found."""
    source = read_source(tmp_path, SOURCES[kind])
    findings = make_findings(source, BLOCKS)
    scores = made_scores(findings)
    encoded = encode(source, findings, scores)
    check_probability(encoded, source, findings, scores)

    volume = hd.seg.segread(BytesIO(encoded.data)).get_volume(rescale_fractional=False)

    read = np.zeros((len(BLOCKS), *scores.shape), np.uint8)
    for *index, segment in np.argwhere(volume.array):
        point = volume.affine @ (*index, 1)
        exact = (np.linalg.inv(findings.affine) @ point)[:3]
        k, j, i = np.rint(exact).astype(int)
        assert np.linalg.norm((findings.affine @ (k, j, i, 1) - point)[:3]) < 1e-3  # mm
        read[segment, k, j, i] = volume.array[*index, segment]
    for number, ours in enumerate(read, start=1):
        np.testing.assert_array_equal(ours, np.where(findings.labels == number, scores, 0))


def test_what_it_says_of_itself(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    findings = make_findings(source, BLOCKS)
    context = make_context()
    segmentation = encode_probability(source, findings, made_scores(findings), context)
    assert segmentation.SegmentationType == "FRACTIONAL"
    assert segmentation.SegmentationFractionalType == "PROBABILITY"
    assert segmentation.MaximumFractionalValue == 255
    assert (segmentation.BitsAllocated, segmentation.BitsStored, segmentation.PixelRepresentation) == (8, 8, 0)
    assert segmentation.SeriesNumber == 9804
    assert segmentation.SeriesDescription == "GLIA-Net voxel scores (research), series 4"
    assert segmentation.ContentQualification == "RESEARCH"
    assert segmentation.ContentDescription == "Network scores, not probabilities - for research use only"
    assert segmentation.NumberOfFrames == 4 + 1 + 3  # slices of the three blocks
    assert len(segmentation.PixelData) == 8 * 40 * 48
    for number, segment in enumerate(segmentation.SegmentSequence, start=1):
        assert segment.SegmentNumber == number
        assert segment.TrackingID == f"Aneurysm candidate {number}"
        assert segment.TrackingUID == context.tracking_uid(number, f"{ROOT}.2")
    named = {item.ReferencedSOPInstanceUID for item in segmentation.SourceImageSequence}
    assert named == {f"{ROOT}.3.{k + 1}" for k in (2, 3, 4, 5, 6, 8)}


def test_the_same_scores_are_the_same_bytes(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    findings = make_findings(source, BLOCKS)
    first, second = (encode(source, findings, made_scores(findings)) for _ in range(2))
    assert first == second


def test_odd_number_of_bytes_is_padded_with_nought(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource(rows=33, columns=51))
    findings = make_findings(source, BLOCKS[1:2])
    scores = made_scores(findings)
    data = dcmread(BytesIO(encode(source, findings, scores).data)).PixelData
    assert len(data) == 33 * 51 + 1 and data[-1] == 0


def test_forty_lesions(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    findings = make_findings(source, many_blocks(source, 40))
    scores = made_scores(findings)
    check_probability(encode(source, findings, scores), source, findings, scores)


def test_what_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    findings = make_findings(source, BLOCKS)
    with pytest.raises(NodeError, match="there is no lesion"):
        encode_probability(source, make_findings(source, []), made_scores(findings), make_context())
    with pytest.raises(NodeError, match=r"they are uint8 \(19, 40, 48\)"):
        encode_probability(source, findings, made_scores(findings)[1:], make_context())
    with pytest.raises(NodeError, match="they are float32"):
        encode_probability(source, findings, made_scores(findings).astype(np.float32), make_context())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    source = read_source(tmp_path_factory.mktemp("source"), CtSource(slices=12, rows=24, columns=34))
    findings = make_findings(source, BLOCKS[:2])
    scores = made_scores(findings)
    return source, findings, scores, encode(source, findings, scores)


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    dataset = dcmread(BytesIO(encoded.data))
    change(dataset)
    return replace(encoded, data=to_part10(encoded.role, dataset).data)


def pixels(dataset: Dataset) -> np.ndarray:
    shape = int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns
    return np.frombuffer(dataset.PixelData, np.uint8).reshape(shape).copy()


def change_a_score(dataset: Dataset) -> None:
    frames = pixels(dataset)
    frames[tuple(np.argwhere(frames)[3])] ^= 1
    dataset.PixelData = frames.tobytes()


def lose_a_score(dataset: Dataset) -> None:
    frames = pixels(dataset)
    frames[tuple(np.argwhere(frames)[3])] = 0
    dataset.PixelData = frames.tobytes()


def add_a_score(dataset: Dataset) -> None:
    frames = pixels(dataset)
    frames[0, 0, 0] = 200
    dataset.PixelData = frames.tobytes()


def mirror(dataset: Dataset) -> None:
    dataset.PixelData = pixels(dataset)[:, :, ::-1].tobytes()


def empty_a_frame(dataset: Dataset) -> None:
    frames = pixels(dataset)
    frames[0] = 0
    dataset.PixelData = frames.tobytes()


def truncate(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-10]


def groups(dataset: Dataset, index: int = 0) -> Dataset:
    return dataset.PerFrameFunctionalGroupsSequence[index]


def shift_a_slice(dataset: Dataset) -> None:
    position = groups(dataset).PlanePositionSequence[0]
    x, y, z = position.ImagePositionPatient
    position.ImagePositionPatient = [x, y, float(z) + 0.6]


def exchange_two_slices(dataset: Dataset) -> None:
    """Of one lesion, so that every voxel stays inside it: only the scores tell."""
    first, second = groups(dataset, 1), groups(dataset, 2)
    for keyword in ("PlanePositionSequence", "DerivationImageSequence"):
        first[keyword].value, second[keyword].value = second[keyword].value, first[keyword].value


def repeat_a_slice(dataset: Dataset) -> None:
    first, second = groups(dataset, 1), groups(dataset, 2)
    for keyword in ("PlanePositionSequence", "DerivationImageSequence"):
        second[keyword].value = first[keyword].value


def name_another_series(dataset: Dataset) -> None:
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = f"{ROOT}.8"


def setting(keyword: str, value: object) -> Change:
    def change(dataset: Dataset) -> None:
        setattr(dataset, keyword, value)

    change.__name__ = keyword
    return change


WRONG: dict[Change, str] = {
    change_a_score: "1 scores of a slice differ",
    lose_a_score: "1 scores of a slice differ",
    add_a_score: "segment 1 has scores outside its lesion",
    mirror: "segment 1 has scores outside its lesion",
    empty_a_frame: "a frame of segment 1 is empty",
    truncate: "the pixel data are shorter",
    shift_a_slice: "a frame lies at",
    exchange_two_slices: "scores of a slice differ",
    repeat_a_slice: "two frames share a voxel",
    exchange_segments: "segment 2 has scores outside its lesion",
    drop_a_segment: r"the segments are \[1\], the lesions \[1, 2\]",
    repeat_a_tracking_uid: "tracking UIDs repeat",
    name_another_series: "it refers to the series",
    setting("SegmentationType", "BINARY"): "SegmentationType is BINARY, not FRACTIONAL",
    setting("SegmentationFractionalType", "OCCUPANCY"): "SegmentationFractionalType is OCCUPANCY",
    setting("MaximumFractionalValue", 200): "MaximumFractionalValue is 200",
    setting("ContentQualification", "PRODUCT"): "ContentQualification is PRODUCT",
    setting("FrameOfReferenceUID", f"{ROOT}.8"): "the frame of reference is not the source's",
    setting("PatientID", "P-0816"): "in PatientID",
    setting("StudyInstanceUID", f"{ROOT}.8"): "in StudyInstanceUID",
    setting("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"): "the SOP Class is",
}


def test_right_scores_pass(made: Made) -> None:
    source, findings, scores, encoded = made
    uids = [make_context().tracking_uid(number, f"{ROOT}.2") for number in (1, 2)]
    check_probability(encoded, source, findings, scores)
    check_probability(encoded, source, findings, scores, uids)
    with pytest.raises(NodeError, match="the tracking UIDs are not those of the SEG"):
        check_probability(encoded, source, findings, scores, uids[::-1])


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_wrong_scores_are_found(made: Made, change: Change) -> None:
    source, findings, scores, encoded = made
    with pytest.raises(NodeError, match=WRONG[change]):
        check_probability(changed(encoded, change), source, findings, scores)


def test_other_scores_are_found(made: Made) -> None:
    source, findings, scores, encoded = made
    other = scores.copy()
    other[tuple(np.argwhere(findings.labels)[0])] ^= 1
    with pytest.raises(NodeError, match="1 scores of a slice differ"):
        check_probability(encoded, source, findings, other)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_damaged_file_is_found(made: Made) -> None:
    source, findings, scores, encoded = made
    for kept in range(200, len(encoded.data), 1000):
        with pytest.raises(NodeError, match="self-check"):
            check_probability(replace(encoded, data=encoded.data[:kept]), source, findings, scores)
