"""The SEG: pixels, geometry, references and codes, on sources of every kind and orientation."""

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.encoding.part10 import to_part10
from dicom_node.errors import NodeError
from tests.support.ct_source import ROOT, SOURCES, CtSource
from tests.support.made_findings import (
    WEIGHTS,
    encode_segmentation,
    make_context,
    make_findings,
    many_blocks,
    read_source,
)

BLOCKS = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5)), ((4, 7), (25, 27), (30, 33))]


@pytest.mark.parametrize("kind", SOURCES)
def test_each_voxel_lies_where_the_source_puts_it(tmp_path: Path, kind: str) -> None:
    """highdicom's own reader puts the frames into patient space; each voxel must be where it was found."""
    source = read_source(tmp_path, SOURCES[kind])
    findings = make_findings(source, BLOCKS)
    file = tmp_path / "seg.dcm"
    file.write_bytes(to_part10("seg", encode_segmentation(source, findings, make_context())).data)

    volume = hd.seg.segread(file).get_volume(combine_segments=True)

    found = np.argwhere(findings.labels)
    expected = np.c_[found, np.ones(len(found))] @ findings.affine.T
    indices = np.argwhere(volume.array)
    points = np.c_[indices, np.ones(len(indices))] @ volume.affine.T
    assert np.allclose(_sorted(points[:, :3]), _sorted(expected[:, :3]), atol=1e-3)
    for point, number in zip(points, volume.array[volume.array > 0], strict=True):
        k, j, i = np.rint(np.linalg.inv(findings.affine) @ point).astype(int)[:3]
        assert findings.labels[k, j, i] == number


def _sorted(points: np.ndarray) -> np.ndarray:
    rounded = np.round(points, 2) + 0.0
    return points[np.lexsort(rounded.T)]


def test_frames_refer_to_the_image_at_their_place(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS[:1]), make_context())
    heights = {}
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert "ReferencedFrameNumber" not in image
        height = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        heights[image.ReferencedSOPInstanceUID] = round(height, 6)
    # Slices 2 to 5, which were written as images 3 to 6 from the foot, 0.6 mm apart from z = 33.3 mm.
    assert heights == {f"{ROOT}.3.3": 34.5, f"{ROOT}.3.4": 35.1, f"{ROOT}.3.5": 35.7, f"{ROOT}.3.6": 36.3}
    assert segmentation.NumberOfFrames == 4
    series = segmentation.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == f"{ROOT}.2"
    named = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
    assert named == [f"{ROOT}.3.{number}" for number in (3, 4, 5, 6)]


@pytest.mark.parametrize("kind", ["enhanced", "legacy"])
def test_frames_of_a_multi_frame_source_are_named_by_number(tmp_path: Path, kind: str) -> None:
    source = read_source(tmp_path, SOURCES[kind])
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS[:2]), make_context())
    images = [
        frame.DerivationImageSequence[0].SourceImageSequence[0]
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(int(image.ReferencedFrameNumber) for image in images) == [3, 4, 5, 6, 9]
    assert {image.ReferencedSOPInstanceUID for image in images} == {f"{ROOT}.4.1"}
    assert {image.ReferencedSOPClassUID for image in images} == {source.datasets[0].SOPClassUID}
    assert len(segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


def test_segments_say_what_they_are(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    context = make_context()
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS), context)
    assert segmentation.SegmentationType == "BINARY"
    assert segmentation.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert [segment.SegmentNumber for segment in segmentation.SegmentSequence] == [1, 2, 3]
    for number, segment in enumerate(segmentation.SegmentSequence, start=1):
        assert segment.SegmentLabel == segment.TrackingID == f"Aneurysm candidate {number}"
        assert segment.TrackingUID == context.tracking_uid(number, f"{ROOT}.2")
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "85659009"
        assert segment.AnatomicRegionSequence[0].CodeValue == "88556005"
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("GLIA-Net", "0.1.0")
        assert WEIGHTS in algorithm.AlgorithmParameters


def test_series_and_device_attributes(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS), make_context())
    assert segmentation.SeriesNumber == 9801
    assert segmentation.SeriesDescription == "GLIA-Net aneurysm candidates (research), series 4"
    assert segmentation.ContentLabel == "ANEURYSMS"
    assert "research use only" in segmentation.ContentDescription
    assert segmentation.ContentQualification == "RESEARCH"
    purposes = {
        item.PurposeOfReferenceCodeSequence[0].CodeValue: item
        for item in segmentation.ContributingEquipmentSequence[:2]
    }
    assert purposes["109102"].DeviceUID == segmentation.DeviceUID
    assert purposes["109101"].Manufacturer == "Scanner works"


def test_device_uid_changes_with_the_weights() -> None:
    assert make_context().device_uid != make_context(weights_sha256="0" * 64).device_uid


def test_grid_is_the_sources_own(tmp_path: Path) -> None:
    source = read_source(tmp_path, replace(SOURCES["not square"], columns=50))
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS), make_context())
    measures = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(size) for size in measures.PixelSpacing] == [0.4, 0.7]
    assert float(measures.SpacingBetweenSlices) == 1.25
    assert float(measures.SliceThickness) == 1.0
    assert (segmentation.Rows, segmentation.Columns) == (33, 50)
    assert segmentation.FrameOfReferenceUID == f"{ROOT}.5"


def test_slice_thickness_that_the_source_lacks_is_the_spacing(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource().with_attributes(SliceThickness=None))
    segmentation = encode_segmentation(source, make_findings(source, BLOCKS), make_context())
    assert (
        float(segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness) == 0.6
    )


def test_forty_lesions_differ_in_colour_and_tracking_uid(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    segmentation = encode_segmentation(source, make_findings(source, many_blocks(source, 40)), make_context())
    colours = [tuple(segment.RecommendedDisplayCIELabValue) for segment in segmentation.SegmentSequence]
    nearest = min(
        np.linalg.norm(np.subtract(one, other)) for one in colours for other in colours if one != other
    )
    assert len(set(colours)) == 40
    assert nearest > 257 * 7  # seven units of L*, a* or b*: three times what the eye can tell apart
    assert len({segment.TrackingUID for segment in segmentation.SegmentSequence}) == 40


def test_no_lesion_makes_no_segmentation(tmp_path: Path) -> None:
    source = read_source(tmp_path, CtSource())
    with pytest.raises(NodeError, match="not from 1 upwards"):
        encode_segmentation(source, make_findings(source, []), make_context())
