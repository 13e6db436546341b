"""SEG and SR in every form that a destination can ask for: read back by highdicom, and caught when they are wrong."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from dicom_node.encoding import segmentation
from dicom_node.encoding.encode_results import EncodedObject, encode_refusal_results, encode_results
from dicom_node.encoding.part10 import to_part10
from dicom_node.encoding.self_check import check_results
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from dicom_node.result_kinds import LABEL_MAP_STORAGE, REPORTS, SEGMENTATIONS, SegmentationForm
from glianet.findings import Findings
from tests.support.ct_source import PRONE, CtSource
from tests.support.made_findings import Block, make_context, make_findings, read_source

SMALL = CtSource(slices=12, rows=24, columns=30)
BLOCKS: list[Block] = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]
SOURCES = {
    "axial": SMALL,
    "prone": CtSource(slices=12, rows=24, columns=30, orientation=PRONE),
    "enhanced": CtSource(slices=12, rows=24, columns=30, kind="enhanced"),
}


def encode(folder: Path, wanted: CtSource, *kinds: str) -> tuple[SourceSeries, Findings, list[EncodedObject]]:
    source = read_source(folder, wanted)
    findings = make_findings(source, BLOCKS)
    return source, findings, list(encode_results(source, findings, make_context(), kinds).objects)


def read(encoded: EncodedObject) -> Dataset:
    return dcmread(BytesIO(encoded.data))


def stored_labels(source: SourceSeries, findings: Findings) -> np.ndarray:
    return source.geometry.to_stored(findings.labels)


def test_there_are_eight_segmentations_and_three_reports_of_each() -> None:
    assert sorted(SEGMENTATIONS) == [
        "seg",
        "seg-all-frames",
        "seg-all-frames-each",
        "seg-each",
        "seg-labelmap",
        "seg-labelmap-all-frames",
        "seg-labelmap-all-frames-each",
        "seg-labelmap-each",
    ]
    assert len(REPORTS) == 24
    assert REPORTS["sr-labelmap-each-enhanced"] == (SegmentationForm("labelmap", apart=True), "enhanced")


@pytest.mark.parametrize("source_name", SOURCES)
@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_every_form_holds_the_mask_that_was_found(tmp_path: Path, source_name: str, kind: str) -> None:
    """highdicom puts the segments together on the source's grid, slice by slice in the order of the planes."""
    source, findings, objects = encode(tmp_path, SOURCES[source_name], kind)
    form = SEGMENTATIONS[kind]
    segmentations = [one for one in objects if one.kind == kind]
    assert len(segmentations) == (2 if form.apart else 1)
    rebuilt = np.zeros_like(stored_labels(source, findings))
    for number, encoded in enumerate(segmentations, start=1):
        segmentation = hd.seg.segread(BytesIO(encoded.data))
        volume = segmentation.get_volume(combine_segments=True)
        match = hd.Volume(stored_labels(source, findings), source_affine(source), coordinate_system="PATIENT")
        placed = volume.match_geometry(match).array
        rebuilt[placed > 0] = number if form.apart else placed[placed > 0]
    assert np.array_equal(rebuilt, stored_labels(source, findings))


def source_affine(source: SourceSeries) -> np.ndarray:
    """Stored slices, rows, columns to LPS mm, from the planes themselves."""
    first, last = source.geometry.planes[0], source.geometry.planes[-1]
    step = (np.array(last.position) - np.array(first.position)) / (len(source.geometry.planes) - 1)
    rows = np.array(first.column_direction) * first.pixel_spacing[0]
    columns = np.array(first.row_direction) * first.pixel_spacing[1]
    return np.vstack([np.c_[step, rows, columns, first.position], [0, 0, 0, 1]])


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_all_frames_are_those_of_the_source(tmp_path: Path, kind: str) -> None:
    """12 slices; the lesions lie in 4 and in 1 of them. A binary SEG has a frame for each segment and slice."""
    form = SEGMENTATIONS[kind]
    _, _, objects = encode(tmp_path, SMALL, kind)
    frames = [int(read(one).NumberOfFrames) for one in objects if one.kind == kind]
    if form.empty_frames:
        assert frames == ([12, 12] if form.apart else [12] if form.kind == "labelmap" else [24])
    else:
        assert frames == ([4, 1] if form.apart else [5])


@pytest.mark.parametrize(("kind", "room_for"), [("seg-all-frames", 24), ("seg-labelmap-all-frames", 12)])
def test_what_would_get_too_large_has_no_empty_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, room_for: int
) -> None:
    """12 slices of 24 x 30 and two lesions: one frame more than there is room for, and it says so."""
    source = read_source(tmp_path, SMALL)
    findings = make_findings(source, BLOCKS)
    for room, frames in ((room_for, room_for), (room_for - 1, 5)):
        monkeypatch.setattr(segmentation, "MOST_PIXELS", room * SMALL.rows * SMALL.columns)
        encoded = encode_results(source, findings, make_context(), [kind])
        assert int(read(encoded.objects[0]).NumberOfFrames) == frames
        assert (kind in encoded.left_out) == (frames == 5)
        assert encoded.objects[0].kind == kind, "whoever asks for it gets it"


def test_a_label_map_is_an_object_of_its_own_class(tmp_path: Path) -> None:
    _, _, objects = encode(tmp_path, SMALL, "seg-labelmap")
    labelmap, report = objects
    assert (labelmap.sop_class_uid, read(labelmap).SegmentationType) == (LABEL_MAP_STORAGE, "LABELMAP")
    referenced = [element.value for element in read(report).iterall() if element.keyword == "ReferencedSOPClassUID"]
    assert LABEL_MAP_STORAGE in referenced


@pytest.mark.parametrize(
    ("kind", "sop_class", "value_types"),
    [
        ("sr", Comprehensive3DSRStorage, {"SCOORD", "SCOORD3D"}),
        ("sr-comprehensive", ComprehensiveSRStorage, {"SCOORD"}),
        ("sr-enhanced", EnhancedSRStorage, {"SCOORD"}),
    ],
)
def test_all_reports_point_into_an_image_and_3d_ones_into_the_patient(
    tmp_path: Path, kind: str, sop_class: str, value_types: set[str]
) -> None:
    _, _, (_, report) = encode(tmp_path, SMALL, kind)
    document = read(report)
    assert document.SOPClassUID == sop_class
    assert {item.ValueType for item in items(document) if concept(item) == "111010"} == value_types


def items(document: Dataset) -> list[Dataset]:
    found, waiting = [], list(document.ContentSequence)
    while waiting:
        item = waiting.pop()
        found.append(item)
        waiting += list(item.get("ContentSequence") or [])
    return found


@pytest.mark.parametrize("source_name", ["axial", "prone"])
def test_the_point_lies_on_the_pixel_of_the_centre(tmp_path: Path, source_name: str) -> None:
    """Lesion 1 has its centre at (k, j, i) = (4, 13, 22); pixel centres lie at half numbers, columns first.

    The axial source stores columns towards the left and rows towards the back, as the grid runs: column 22, row 13.
    The prone one stores both the other way round: column 30 - 1 - 22, row 24 - 1 - 13.
    """
    source, findings, (_, report) = encode(tmp_path, SOURCES[source_name], "sr-enhanced")
    assert findings.lesions[0].centre_index == (4, 13, 22)
    points = [item for item in items(read(report)) if item.ValueType == "SCOORD"]
    found = {tuple(point.GraphicData): point for point in points}
    expected = (22.5, 13.5) if source_name == "axial" else (7.5, 10.5)
    reference = found[expected].ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == source.geometry.planes[4].sop_instance_uid


def test_segments_apart_are_told_from_one_another(tmp_path: Path) -> None:
    """The report of lesion 2 refers to segment 1 of the second object."""
    _, _, objects = encode(tmp_path, SMALL, "sr-each")
    first, second, report = objects
    assert [one.role for one in objects] == ["seg-each-1", "seg-each-2", "sr-each"]
    assert first.series_instance_uid == second.series_instance_uid
    segments = [
        item.ReferencedSOPSequence[0] for item in items(read(report)) if concept(item) == "121191"
    ]
    named = {(one.ReferencedSOPInstanceUID, one.ReferencedSegmentNumber) for one in segments}
    assert named == {(first.sop_instance_uid, 1), (second.sop_instance_uid, 1)}


def concept(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def test_two_destinations_with_two_forms_get_objects_of_their_own(tmp_path: Path) -> None:
    _, _, objects = encode(tmp_path, SMALL, "seg", "sr", "seg-labelmap", "sr-labelmap-enhanced")
    assert [one.kind for one in objects] == ["seg", "sr", "seg-labelmap", "sr-labelmap-enhanced"]
    assert len({one.sop_instance_uid for one in objects}) == 4
    assert len({one.series_instance_uid for one in objects}) == 4


@pytest.mark.parametrize("kind", ["sr-comprehensive", "sr-enhanced"])
def test_a_refusal_comes_in_older_forms_too(tmp_path: Path, kind: str) -> None:
    source = read_source(tmp_path, SMALL)
    (report,) = encode_refusal_results(source.datasets, Reason.MISSING_SLICE, "1.2 mm", make_context(), [kind]).objects
    assert report.kind == kind
    texts = [str(item.TextValue) for item in items(read(report)) if item.ValueType == "TEXT"]
    assert any("was not analysed" in text for text in texts)


def changed(encoded: EncodedObject, change: Callable[[Dataset], None]) -> EncodedObject:
    dataset = read(encoded)
    change(dataset)
    return to_part10(encoded.role, dataset, encoded.kind)


def move_the_point(document: Dataset) -> None:
    (point, *_) = [item for item in items(document) if item.ValueType == "SCOORD"]
    point.GraphicData = [float(point.GraphicData[0]) + 1, float(point.GraphicData[1])]


def swap_two_labels(segmentation: Dataset) -> None:
    values = np.frombuffer(segmentation.PixelData, np.uint8).copy()
    values[values == 1] = 2
    segmentation.PixelData = values.tobytes()


def move_a_frame(segmentation: Dataset) -> None:
    frame = segmentation.PerFrameFunctionalGroupsSequence[-1]
    x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
    frame.PlanePositionSequence[0].ImagePositionPatient = [x, y, float(z) + 1]


def test_the_self_check_sees_what_is_wrong_in_these_forms(tmp_path: Path) -> None:
    source, findings, (labelmap, report) = encode(tmp_path, SMALL, "sr-labelmap-enhanced")
    check_results([labelmap, report], source, findings)
    with pytest.raises(NodeError, match="the centre is"):
        check_results([labelmap, changed(report, move_the_point)], source, findings)
    with pytest.raises(NodeError, match="voxels differ"):
        check_results([changed(labelmap, swap_two_labels), report], source, findings)
    with pytest.raises(NodeError, match="a frame lies at"):
        check_results([changed(labelmap, move_a_frame), report], source, findings)
    _, _, (first, second, apart) = encode(tmp_path / "apart", SMALL, "sr-each")
    with pytest.raises(NodeError, match="the results are"):
        check_results([first, apart], source, findings)
    with pytest.raises(NodeError, match="voxels differ"):
        check_results([second, first, apart], source, findings)
