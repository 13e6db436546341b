"""The risk map as a Parametric Map and as a FRACTIONAL SEG; its self-check finds every kind of wrong one."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian, ParametricMapStorage, SegmentationStorage

from dicom_node.encoding.check_risk_map import check_risk_map
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.encoding.risk_map import encode_risk_map
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.result_kinds import RISK_MAP, RISK_MAP_AS_SEGMENTATION
from glianet.findings import Findings
from glianet.scores import RiskGrid
from tests.support.ct_source import FEET_FIRST, OBLIQUE, PRONE, ROOT, TURNED, CtSource
from tests.support.damage import give_to_another_patient, move_to_another_frame_of_reference
from tests.support.made_findings import make_context, make_findings, read_source

SIZE = {"slices": 30, "rows": 40, "columns": 48}
SOURCES = {
    "axial": CtSource(**SIZE),
    "oblique": CtSource(**SIZE, orientation=OBLIQUE),
    "prone": CtSource(**SIZE, orientation=PRONE),
    "head to foot": CtSource(**SIZE, orientation=FEET_FIRST),
    "on the side": CtSource(**SIZE, orientation=TURNED),
    "not square": CtSource(slices=17, rows=33, columns=51, spacing=(1.25, 0.4, 0.7)),
    "enhanced": CtSource(**SIZE, kind="enhanced"),
    "legacy": CtSource(**SIZE, kind="legacy", orientation=OBLIQUE),
    "implicit": CtSource(**SIZE, transfer_syntax=ImplicitVRLittleEndian),
    "two slices": CtSource(slices=2, rows=24, columns=30),
}
FORMS = {"parametric map": False, "segmentation": True}
STARTS = ((-90, -82, -70, 0, 12), (-80, -76, -60, 0, 20), (-88, -70, -66, 0, 30))
Made = tuple[SourceSeries, Findings, RiskGrid, dict[bool, EncodedObject]]
Change = Callable[[Dataset], None]


def made_risk() -> RiskGrid:
    """Windows that begin inside and before the volume, so that neighbouring voxels of the map differ in every axis."""
    return RiskGrid(np.random.default_rng(11).random((5, 5, 5), np.float32), STARTS)


def encode(source: SourceSeries, findings: Findings, risk: RiskGrid, as_segmentation: bool) -> EncodedObject:
    role = RISK_MAP_AS_SEGMENTATION if as_segmentation else RISK_MAP
    dataset = encode_risk_map(source, findings, risk, make_context(), as_segmentation=as_segmentation)
    return to_part10(role, dataset)


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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    source = read_source(tmp_path_factory.mktemp("source"), SOURCES["oblique"])
    findings, risk = make_findings(source, []), made_risk()
    return source, findings, risk, {form: encode(source, findings, risk, form) for form in (False, True)}


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    dataset = dcmread(BytesIO(encoded.data))
    change(dataset)
    return replace(encoded, data=to_part10(encoded.role, dataset).data)


def put(dataset: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> None:
    keyword, kind = ("FloatPixelData", "<f4") if "FloatPixelData" in dataset else ("PixelData", "u1")
    shape = int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns
    stored = np.frombuffer(dataset[keyword].value, kind)[: int(np.prod(shape))].reshape(shape).copy()
    dataset[keyword].value = change(stored).astype(kind).tobytes()


def change_a_value(dataset: Dataset) -> None:
    def change(stored: np.ndarray) -> np.ndarray:
        stored[2, 3, 4] = stored[2, 3, 4] * 0.9
        return stored

    put(dataset, change)


def lose_a_value(dataset: Dataset) -> None:
    def change(stored: np.ndarray) -> np.ndarray:
        stored[2, 3, 4] = np.nan if stored.dtype.kind == "f" else 0
        return stored

    put(dataset, change)


def mirror(dataset: Dataset) -> None:
    put(dataset, lambda stored: stored[:, :, ::-1])


def turn_over(dataset: Dataset) -> None:
    put(dataset, lambda stored: stored[:, ::-1])


def exchange_head_and_foot(dataset: Dataset) -> None:
    put(dataset, lambda stored: stored[::-1])


def truncate(dataset: Dataset) -> None:
    put(dataset, lambda stored: stored[:-1])


def groups(dataset: Dataset, index: int = 0) -> Dataset:
    return dataset.PerFrameFunctionalGroupsSequence[index]


def shared(dataset: Dataset) -> Dataset:
    return dataset.SharedFunctionalGroupsSequence[0]


def shift_a_slice(dataset: Dataset) -> None:
    position = groups(dataset).PlanePositionSequence[0]
    x, y, z = position.ImagePositionPatient
    position.ImagePositionPatient = [x, y, float(z) + 0.01]


def shift_all_by_a_voxel(dataset: Dataset) -> None:
    """Rows of the source, which is turned about the y axis, are 0.5 mm apart along y."""
    for item in dataset.PerFrameFunctionalGroupsSequence:
        x, y, z = item.PlanePositionSequence[0].ImagePositionPatient
        item.PlanePositionSequence[0].ImagePositionPatient = [x, float(y) + 0.5, z]


def shift_out_of_the_volume(dataset: Dataset) -> None:
    for item in dataset.PerFrameFunctionalGroupsSequence:
        x, y, z = item.PlanePositionSequence[0].ImagePositionPatient
        item.PlanePositionSequence[0].ImagePositionPatient = [x, float(y) - 50, z]


def exchange_two_positions(dataset: Dataset) -> None:
    first, second = groups(dataset, 0), groups(dataset, 1)
    first["PlanePositionSequence"].value, second["PlanePositionSequence"].value = (
        second["PlanePositionSequence"].value,
        first["PlanePositionSequence"].value,
    )


def repeat_a_position(dataset: Dataset) -> None:
    groups(dataset, 1).PlanePositionSequence = groups(dataset, 0).PlanePositionSequence


def lose_the_last_frame(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    dataset.NumberOfFrames -= 1
    put(dataset, lambda stored: stored)


def turn_the_orientation(dataset: Dataset) -> None:
    shared(dataset).PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def widen_the_pixels(dataset: Dataset) -> None:
    shared(dataset).PixelMeasuresSequence[0].PixelSpacing = [4.0, 4.1]


def widen_the_slices(dataset: Dataset) -> None:
    shared(dataset).PixelMeasuresSequence[0].SpacingBetweenSlices = "4.3"


def name_another_series(dataset: Dataset) -> None:
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = f"{ROOT}.8"


def forget_an_image(dataset: Dataset) -> None:
    del dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]


def derive_from_another_image(dataset: Dataset) -> None:
    image = shared(dataset).DerivationImageSequence[0].SourceImageSequence[0]
    image.ReferencedSOPInstanceUID = f"{ROOT}.8"


def call_it_a_product(dataset: Dataset) -> None:
    dataset.ContentQualification = "PRODUCT"


IN_BOTH: dict[Change, str] = {
    change_a_value: "1 risks differ",
    lose_a_value: "1 risks differ",
    mirror: "risks differ",
    turn_over: "risks differ",
    exchange_head_and_foot: "risks differ",
    truncate: "the pixel data are not as long",
    shift_a_slice: "it does not lie on voxels of the volume",
    shift_all_by_a_voxel: "risks differ",
    shift_out_of_the_volume: "it lies outside the volume",
    exchange_two_positions: "its frames do not go from foot to head",
    repeat_a_position: "its frames do not go from foot to head, each once",
    lose_the_last_frame: "the pixel data are not as long|does not reach the ends of axis 0",
    turn_the_orientation: "it does not lie on voxels|it lies outside",
    widen_the_pixels: "it does not lie on voxels|it lies outside",
    widen_the_slices: "its voxels along axis 0 are not 4.3 mm apart",
    name_another_series: "it refers to the series",
    forget_an_image: "the images that it names are not the source's",
    derive_from_another_image: "the images that it names are not the source's",
    move_to_another_frame_of_reference: "the frame of reference is not the source's",
    give_to_another_patient: "in PatientID",
    call_it_a_product: "it is not marked as research",
}


def mapping(keyword: str, value: float) -> Change:
    def change(dataset: Dataset) -> None:
        setattr(shared(dataset).RealWorldValueMappingSequence[0], keyword, value)

    change.__name__ = keyword
    return change


def call_it_percent(dataset: Dataset) -> None:
    shared(dataset).RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "%"


def call_it_another_quantity(dataset: Dataset) -> None:
    item = shared(dataset).RealWorldValueMappingSequence[0].QuantityDefinitionSequence[0]
    item.ConceptCodeSequence[0].CodeValue = "RISK-CENTRE"


IN_MAP: dict[Change, str] = {
    mapping("RealWorldValueSlope", 100.0): "RealWorldValueSlope is 100.0",
    mapping("RealWorldValueIntercept", 1.0): "RealWorldValueIntercept is 1.0",
    mapping("DoubleFloatRealWorldValueLastValueMapped", 0.5): "LastValueMapped is 0.5",
    call_it_percent: "the unit is not 1",
    call_it_another_quantity: "the quantity is",
}


def call_it_binary(dataset: Dataset) -> None:
    dataset.SegmentationType = "BINARY"


def raise_the_maximum(dataset: Dataset) -> None:
    dataset.MaximumFractionalValue = 200


def call_the_segment_two(dataset: Dataset) -> None:
    dataset.SegmentSequence[0].SegmentNumber = 2


IN_SEGMENTATION: dict[Change, str] = {
    call_it_binary: "SegmentationType is BINARY",
    raise_the_maximum: "MaximumFractionalValue is 200",
    call_the_segment_two: r"the segments are \[2\]",
}


def test_right_maps_pass(made: Made) -> None:
    source, findings, risk, encoded = made
    for one in encoded.values():
        check_risk_map(one, source, findings, risk)


@pytest.mark.parametrize("change", [*IN_BOTH, *IN_MAP], ids=lambda change: change.__name__)
def test_wrong_parametric_map_is_found(made: Made, change: Change) -> None:
    source, findings, risk, encoded = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_MAP)[change]):
        check_risk_map(changed(encoded[False], change), source, findings, risk)


@pytest.mark.parametrize("change", [*IN_BOTH, *IN_SEGMENTATION], ids=lambda change: change.__name__)
def test_wrong_segmentation_is_found(made: Made, change: Change) -> None:
    source, findings, risk, encoded = made
    with pytest.raises(NodeError, match=(IN_BOTH | IN_SEGMENTATION)[change]):
        check_risk_map(changed(encoded[True], change), source, findings, risk)


@pytest.mark.parametrize("form", FORMS)
def test_other_risks_are_found(made: Made, form: str) -> None:
    source, findings, risk, encoded = made
    other = RiskGrid(risk.values[::-1], risk.starts)
    with pytest.raises(NodeError, match="risks differ"):
        check_risk_map(encoded[FORMS[form]], source, findings, other)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("form", FORMS)
def test_damaged_file_is_found(made: Made, form: str) -> None:
    source, findings, risk, encoded = made
    whole = encoded[FORMS[form]]
    for kept in range(200, len(whole.data), 1500):
        with pytest.raises(NodeError, match="self-check"):
            check_risk_map(replace(whole, data=whole.data[:kept]), source, findings, risk)
