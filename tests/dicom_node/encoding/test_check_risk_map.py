"""The self-check of the risk map lets right ones pass, and finds every kind of wrong one, in both forms."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.encoding.check_risk_map import check_risk_map
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings
from glianet.scores import RiskGrid
from tests.support.ct_source import ROOT
from tests.support.damage import give_to_another_patient, move_to_another_frame_of_reference
from tests.support.made_findings import make_findings, read_source
from tests.support.risk_maps import FORMS, SOURCES, encode, made_risk

Made = tuple[SourceSeries, Findings, RiskGrid, dict[bool, EncodedObject]]
Change = Callable[[Dataset], None]


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
