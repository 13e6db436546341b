"""The self-check of the presentation state finds every kind of wrong one."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from dicom_node.encoding.check_presentation_state import check_presentation_state, fill_even_odd
from dicom_node.errors import NodeError
from tests.support.ct_source import ROOT
from tests.support.damage import give_to_another_patient
from tests.support.presentation_states import CASES, SMALL, Change, Made, changed, make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("source"), SMALL)


def test_even_odd_filling_by_hand() -> None:
    """A triangle with corners 0\\0, 4\\0, 0\\4: the centres below the diagonal column + row = 4."""
    triangle = np.array([(0, 0), (4, 0), (0, 4), (0, 0)], np.float64)
    inside = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    on_the_line = np.fliplr(np.eye(4, dtype=bool))  # centres whose column + row is 4 lie on it: either is right
    filled = fill_even_odd([triangle], 4, 4)
    assert np.array_equal(filled[~on_the_line], np.array(inside, bool)[~on_the_line])


def graphic(state: Dataset, index: int = 0) -> Dataset:
    return state.GraphicAnnotationSequence[index].GraphicObjectSequence[0]


def label(state: Dataset) -> tuple[Dataset, Dataset]:
    """The first annotation with a text, and the text."""
    item = next(one for one in state.GraphicAnnotationSequence if "TextObjectSequence" in one)
    return item, item.TextObjectSequence[0]


def give_the_first_centre_the_coordinates_1_1(state: Dataset) -> None:
    """The convention of Displayed Area Selection, which is not that of graphics."""
    for item in state.GraphicAnnotationSequence:
        for one in item.get("GraphicObjectSequence", []):
            one.GraphicData = [value + 0.5 for value in one.GraphicData]


def count_pixels_from_one(state: Dataset) -> None:
    graphic(state).GraphicData = [value + 1 for value in graphic(state).GraphicData]


def exchange_columns_and_rows(state: Dataset) -> None:
    points = np.reshape(graphic(state).GraphicData, (-1, 2))
    graphic(state).GraphicData = points[:, ::-1].ravel().tolist()


def draw_on_the_neighbour(state: Dataset) -> None:
    image = state.GraphicAnnotationSequence[0].ReferencedImageSequence[0]
    image.ReferencedSOPInstanceUID = f"{ROOT}.3.2"


def draw_on_a_stranger(state: Dataset) -> None:
    state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.8"


def lose_an_outline(state: Dataset) -> None:
    del state.GraphicAnnotationSequence[1]


def leave_it_open(state: Dataset) -> None:
    one = graphic(state)
    one.GraphicData = one.GraphicData[:-2]
    one.NumberOfGraphicPoints -= 1


def miscount_points(state: Dataset) -> None:
    graphic(state).NumberOfGraphicPoints += 1


def place_it_on_the_display(state: Dataset) -> None:
    graphic(state).GraphicAnnotationUnits = "DISPLAY"


def give_it_to_the_other_lesion(state: Dataset) -> None:
    graphic(state).TrackingID = "Aneurysm candidate 2"


def rename_an_outline(state: Dataset) -> None:
    graphic(state).TrackingID = "Aneurysm candidate 7"


def share_a_tracking_uid(state: Dataset) -> None:
    uid = graphic(state).TrackingUID
    for item in state.GraphicAnnotationSequence:
        for one in item.get("GraphicObjectSequence", []):
            one.TrackingUID = uid


def number_a_label_wrongly(state: Dataset) -> None:
    text = label(state)[1]
    text.UnformattedTextValue = text.TrackingID = "Aneurysm candidate 2"


def label_another_slice(state: Dataset) -> None:
    label(state)[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = f"{ROOT}.3.4"


def lose_a_label(state: Dataset) -> None:
    kept = [one for one in state.GraphicAnnotationSequence if one is not label(state)[0]]
    state.GraphicAnnotationSequence = kept


def push_a_label_out(state: Dataset) -> None:
    label(state)[1].BoundingBoxBottomRightHandCorner = [31.0, 14.0]


def narrow_the_window(state: Dataset) -> None:
    state.SoftcopyVOILUTSequence[0].WindowWidth = 60


def window_some_images(state: Dataset) -> None:
    first = state.ReferencedSeriesSequence[0].ReferencedImageSequence[:1]
    state.SoftcopyVOILUTSequence[0].ReferencedImageSequence = first


def change_the_rescaling(state: Dataset) -> None:
    state.RescaleIntercept = "0"


def invert(state: Dataset) -> None:
    state.PresentationLUTShape = "INVERSE"


def show_a_part(state: Dataset) -> None:
    state.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner = [24, 30]


def distort(state: Dataset) -> None:
    state.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing = [0.5, 0.55]


def leave_out_an_image(state: Dataset) -> None:
    del state.ReferencedSeriesSequence[0].ReferencedImageSequence[3]


def name_another_series(state: Dataset) -> None:
    state.ReferencedSeriesSequence[0].SeriesInstanceUID = f"{ROOT}.8"


def forget_a_layer(state: Dataset) -> None:
    del state.GraphicLayerSequence[1]


def drop_the_window(state: Dataset) -> None:
    del state.SoftcopyVOILUTSequence


WRONG: dict[Change, str] = {
    give_the_first_centre_the_coordinates_1_1: "does not run along the pixels' edges",
    count_pixels_from_one: "voxels differ",
    exchange_columns_and_rows: "voxels differ",
    draw_on_the_neighbour: "voxels differ",
    draw_on_a_stranger: "refers to an image that is not the source's",
    lose_an_outline: "30 voxels differ",
    leave_it_open: "an outline is not closed",
    miscount_points: "an outline lacks points",
    place_it_on_the_display: "an outline has the form",
    give_it_to_the_other_lesion: "tracking UIDs",
    rename_an_outline: "an outline is named 'Aneurysm candidate 7'",
    share_a_tracking_uid: "tracking UIDs",
    number_a_label_wrongly: "the label 'Aneurysm candidate 2' stands in slice 4",
    label_another_slice: "the label 'Aneurysm candidate 1' stands in slice 3",
    lose_a_label: r"the labels are \['Aneurysm candidate 2'\]",
    push_a_label_out: "a label lies outside",
    narrow_the_window: "the window is",
    window_some_images: "the window does not hold",
    change_the_rescaling: "the rescaling is",
    invert: "the presentation LUT",
    show_a_part: "the displayed area is",
    distort: "the pixel spacing is",
    leave_out_an_image: "does not refer to every image",
    name_another_series: "it refers to the series",
    forget_a_layer: "layers",
    give_to_another_patient: "in PatientID",
    drop_the_window: "missing or damaged",
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_the_self_check_finds_what_is_wrong(made: Made, change: Change) -> None:
    source, findings, encoded = made
    check_presentation_state(encoded, source, findings)
    with pytest.raises(NodeError, match=WRONG[change]):
        check_presentation_state(changed(encoded, change), source, findings)


def test_the_self_check_finds_another_frame(tmp_path: Path) -> None:
    source, findings, encoded = make(tmp_path, CASES["enhanced"])

    def draw_on_another_frame(state: Dataset) -> None:
        state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedFrameNumber = 11

    with pytest.raises(NodeError, match="voxels differ"):
        check_presentation_state(changed(encoded, draw_on_another_frame), source, findings)
