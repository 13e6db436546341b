"""The risk map as a Parametric Map and as a FRACTIONAL SEG."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ParametricMapStorage, SegmentationStorage

from dicom_node.encoding.check_risk_map import check_risk_map
from dicom_node.encoding.risk_map import encode_risk_map
from dicom_node.errors import NodeError
from glianet.scores import RiskGrid
from tests.support.ct_source import ROOT, CtSource
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.risk_maps import FORMS, SOURCES, encode, made_risk


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", SOURCES)
def test_each_value_is_the_risk_at_its_place(tmp_path: Path, kind: str, form: str) -> None:
    """highdicom's own reader puts the map into patient space; RiskGrid.at gives the risk of a single voxel."""
    source = read_source(tmp_path, SOURCES[kind])
    findings, risk = make_findings(source, []), made_risk()
    encoded = encode(source, findings, risk, FORMS[form])
    check_risk_map(encoded, source, findings, risk)

    dataset = dcmread(BytesIO(encoded.data))
    if FORMS[form]:
        volume = hd.seg.Segmentation.from_dataset(dataset).get_volume(rescale_fractional=False)
        values, tolerance = volume.array[..., 0] / 255, 0.5 / 255 + 1e-6
    else:
        volume = hd.pm.ParametricMap.from_dataset(dataset).get_volume(apply_real_world_transform=True)
        values, tolerance = volume.array, 1e-6

    distinct = set()
    for index in np.ndindex(values.shape):
        point = volume.affine @ (*index, 1)
        voxel = np.rint((np.linalg.inv(findings.affine) @ point)[:3]).astype(int)
        assert np.linalg.norm((findings.affine @ (*voxel, 1) - point)[:3]) < 1e-3  # mm
        assert values[index] == pytest.approx(risk.at(voxel), abs=tolerance)
        distinct.add(tuple(voxel))
    assert len(distinct) == values.size
    assert len(np.unique(values)) > values.size / 20  # not a map that would be right in any order


@pytest.mark.parametrize("kind", SOURCES)
def test_frames_go_along_their_normal(tmp_path: Path, kind: str) -> None:
    """Programs that stack frames by number (dcmqi does) get the map as it is, not upside down."""
    source = read_source(tmp_path, SOURCES[kind])
    findings = make_findings(source, [])
    for as_segmentation in FORMS.values():
        dataset = dcmread(BytesIO(encode(source, findings, made_risk(), as_segmentation).data))
        shared = dataset.SharedFunctionalGroupsSequence[0]
        orientation = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
        normal = np.cross(orientation[:3], orientation[3:])
        frames = dataset.PerFrameFunctionalGroupsSequence
        heights = [normal @ np.array(item.PlanePositionSequence[0].ImagePositionPatient, float) for item in frames]
        spacing = float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices)
        np.testing.assert_allclose(np.diff(heights), spacing, rtol=0, atol=1e-5)
        numbers = [np.atleast_1d(item.FrameContentSequence[0].DimensionIndexValues)[-1] for item in frames]
        assert numbers == list(range(1, len(frames) + 1))


def test_grid_of_the_map(tmp_path: Path) -> None:
    """30 slices of 0.6 mm: 5 of them, 4.2 mm apart; 40 rows and 48 columns of 0.5 mm: 5 and 6, 4 mm apart."""
    source = read_source(tmp_path, SOURCES["axial"])
    result = encode_risk_map(source, make_findings(source, []), made_risk(), make_context())
    assert (result.NumberOfFrames, result.Rows, result.Columns) == (5, 5, 6)
    measures = result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(size) for size in measures.PixelSpacing] == [4.0, 4.0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(4.2)
    first = result.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    # slice 0, row 3 and column 3: -120.5 + 1.5, -110.25 + 1.5, 33.3
    assert [float(value) for value in first] == pytest.approx([-119.0, -108.75, 33.3])
    assert result.FrameOfReferenceUID == f"{ROOT}.5"
    assert len(result.FloatPixelData) == 5 * 5 * 6 * 4


def test_what_the_parametric_map_says_of_itself(tmp_path: Path) -> None:
    source = read_source(tmp_path, SOURCES["axial"])
    result = encode_risk_map(source, make_findings(source, []), made_risk(), make_context())
    assert result.SOPClassUID == ParametricMapStorage
    assert list(result.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
    assert (result.SeriesNumber, result.SeriesDescription) == (9805, "GLIA-Net risk map (research), series 4")
    assert (result.ContentQualification, result.ContentLabel) == ("RESEARCH", "RISK_MAP")
    shared = result.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    quantity = mapping.QuantityDefinitionSequence[0]
    assert quantity.ConceptNameCodeSequence[0].CodeValue == "246205007"  # SCT, Quantity
    code = quantity.ConceptCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("RISK-MAP", "99GLIANET")
    assert code.CodeMeaning == "Network regional score (not a probability)"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert [item.CodingSchemeDesignator for item in result.CodingSchemeIdentificationSequence] == ["99GLIANET"]
    named = [item.ReferencedSOPInstanceUID for item in result.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    assert named == [str(image.SOPInstanceUID) for image in source.datasets] and len(named) == 30
    derivation = shared.DerivationImageSequence[0]
    assert [item.ReferencedSOPInstanceUID for item in derivation.SourceImageSequence] == named


def test_what_the_segmentation_says_of_itself(tmp_path: Path) -> None:
    source = read_source(tmp_path, SOURCES["enhanced"])
    result = encode_risk_map(source, make_findings(source, []), made_risk(), make_context(), as_segmentation=True)
    assert result.SOPClassUID == SegmentationStorage
    assert (result.SegmentationType, result.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    (segment,) = result.SegmentSequence
    assert segment.SegmentLabel == "Network regional score"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "RISK-MAP"
    (image,) = result.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert image.ReferencedSOPInstanceUID == f"{ROOT}.4.1"


def test_the_two_forms_are_objects_of_two_series(tmp_path: Path) -> None:
    source = read_source(tmp_path, SOURCES["axial"])
    findings = make_findings(source, [])
    one, other = (encode(source, findings, made_risk(), form) for form in (False, True))
    assert one.sop_instance_uid != other.sop_instance_uid
    assert one.series_instance_uid != other.series_instance_uid


@pytest.mark.parametrize("form", FORMS)
def test_the_same_risks_are_the_same_bytes(tmp_path: Path, form: str) -> None:
    source = read_source(tmp_path, SOURCES["axial"])
    findings = make_findings(source, [])
    assert encode(source, findings, made_risk(), FORMS[form]) == encode(source, findings, made_risk(), FORMS[form])


def test_a_head_is_less_than_a_megabyte(tmp_path: Path) -> None:
    """400 slices of 512 x 512, 0.4 mm and 0.45 mm: 40 x 57 x 57 voxels of 4 bytes."""
    source = read_source(tmp_path, CtSource(slices=40, rows=512, columns=512, spacing=(4.0, 0.45, 0.45)))
    starts = (tuple(range(-90, 30, 15)), tuple(range(0, 430, 15)), tuple(range(0, 430, 15)))
    risk = RiskGrid(np.full((8, 29, 29), 0.5, np.float32), starts)
    encoded = encode(source, make_findings(source, []), risk, as_segmentation=False)
    assert len(encoded.data) < 600_000


def test_findings_of_another_grid_are_refused(tmp_path: Path) -> None:
    source = read_source(tmp_path, SOURCES["axial"])
    findings = make_findings(source, [])
    with pytest.raises(NodeError, match="not on the grid of the source"):
        encode_risk_map(source, replace(findings, labels=findings.labels[1:]), made_risk(), make_context())
