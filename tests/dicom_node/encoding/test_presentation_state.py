"""The presentation state: outlines worked out by hand, read by DCMTK."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicom_node.encoding.check_presentation_state import check_presentation_state, fill_even_odd
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.encoding.presentation_state import common_rescale
from dicom_node.errors import NodeError
from tests.support.ct_source import ROOT
from tests.support.dicom_network import program
from tests.support.made_findings import encode_segmentation, make_context
from tests.support.presentation_states import CASES, SMALL, Made, changed, encode, make, read
from tests.support.validators import complaints


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("source"), SMALL)


def outlines(state: Dataset, name: str, end_of_uid: str, frame: int | None = None) -> list[list[tuple[float, ...]]]:
    """The polylines of the lesion `name` on an image: points (column, row)."""
    found = []
    for item in state.GraphicAnnotationSequence:
        (image,) = item.ReferencedImageSequence
        if image.ReferencedSOPInstanceUID.endswith(end_of_uid) and image.get("ReferencedFrameNumber") == frame:
            graphics = [one for one in item.get("GraphicObjectSequence", []) if one.TrackingID == name]
            found += [[tuple(point) for point in np.reshape(one.GraphicData, (-1, 2))] for one in graphics]
    return found


RECTANGLE = [(20, 10), (25, 10), (25, 16), (20, 16), (20, 10)]
WITHOUT_CORNER = [(21, 10), (25, 10), (25, 16), (20, 16), (20, 11), (21, 11), (21, 10)]


def test_outlines_run_along_the_outer_edges_of_the_pixels(made: Made) -> None:
    """Lesion 1: rows 10 to 15, columns 20 to 24 counted from 0; its first slice lacks row 10, column 20."""
    state = read(made[2])
    assert outlines(state, "Aneurysm candidate 1", ".3.3") == [WITHOUT_CORNER]
    assert outlines(state, "Aneurysm candidate 1", ".3.4") == [RECTANGLE]
    assert outlines(state, "Aneurysm candidate 1", ".3.6") == [RECTANGLE]
    assert outlines(state, "Aneurysm candidate 1", ".3.2") == outlines(state, "Aneurysm candidate 1", ".3.7") == []
    assert outlines(state, "Aneurysm candidate 2", ".3.9") == [
        [(3, 1), (5, 1), (5, 4), (2, 4), (2, 2), (3, 2), (3, 1)]
    ]


def test_outlines_are_in_stored_rows_and_columns(tmp_path: Path) -> None:
    """Prone, both axes run the other way: column 30 - 25 = 5 to 10, row 24 - 16 = 8 to 14, foot to head the same."""
    state = read(make(tmp_path, CASES["prone"])[2])
    assert outlines(state, "Aneurysm candidate 1", ".3.4") == [[(5, 8), (10, 8), (10, 14), (5, 14), (5, 8)]]
    assert outlines(state, "Aneurysm candidate 1", ".3.3") == [
        [(5, 8), (10, 8), (10, 13), (9, 13), (9, 14), (5, 14), (5, 8)]
    ]


def test_frames_of_a_multi_frame_source_are_named(tmp_path: Path) -> None:
    state = read(make(tmp_path, CASES["enhanced"])[2])
    assert outlines(state, "Aneurysm candidate 1", ".4.1", frame=3) == [WITHOUT_CORNER]
    (image,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == f"{ROOT}.4.1" and "ReferencedFrameNumber" not in image


def test_holes_are_drawn_too(tmp_path: Path) -> None:
    source, findings, _ = make(tmp_path, SMALL)
    labels = findings.labels.copy()
    labels[3, 12:14, 22] = 0
    ring = replace(findings, labels=labels)
    encoded = encode(source, ring)
    outer, hole = outlines(read(encoded), "Aneurysm candidate 1", ".3.4")
    assert outer == RECTANGLE and set(hole) == {(22, 12), (23, 12), (23, 14), (22, 14)}
    check_presentation_state(encoded, source, ring)
    with pytest.raises(NodeError, match="2 voxels differ"):
        check_presentation_state(encoded, source, findings)


def test_what_it_says_about_itself_and_the_grey_values(made: Made) -> None:
    state = read(made[2])
    assert state.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    assert (state.Modality, state.SeriesNumber, state.InstanceNumber) == ("PR", 9806, 1)
    assert state.SeriesDescription == "GLIA-Net outlines (research), series 4"
    assert "for research use only" in state.ContentDescription and state.ContentQualification == "RESEARCH"
    assert (state.PresentationCreationDate, state.PresentationCreationTime) == ("20260115", "102030")
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth, state.PresentationLUTShape) == (200, 600, "IDENTITY")
    (area,) = state.DisplayedAreaSelectionSequence
    assert (area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner) == ([1, 1], [30, 24])
    named = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert [image.ReferencedSOPInstanceUID for image in named] == [f"{ROOT}.3.{n}" for n in range(1, 13)]


def test_pixels_that_are_not_square_are_shown_in_their_proportions(tmp_path: Path) -> None:
    (area,) = read(make(tmp_path, CASES["not square"])[2]).DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == [0.4, 0.7]
    assert "PresentationPixelAspectRatio" not in area


def test_layers_have_the_colour_of_the_key_images(made: Made) -> None:
    """Amber, RGB 255, 176, 0, is L* 77.5, a* 18.2, b* 80.6; PS3.3 C.10.7.1.1 scales to 0 to 65535."""
    layers = read(made[2]).GraphicLayerSequence
    assert [(layer.GraphicLayer, layer.GraphicLayerOrder) for layer in layers] == [("OUTLINES", 1), ("LABELS", 2)]
    expected = 77.465 / 100 * 65535, (18.195 + 128) / 255 * 65535, (80.63 + 128) / 255 * 65535
    for layer in layers:
        assert layer.GraphicLayerRecommendedDisplayCIELabValue == pytest.approx(expected, abs=30)


def test_a_lesion_has_one_label_in_the_slice_of_its_centre(made: Made) -> None:
    state = read(made[2])
    labels = {
        text.UnformattedTextValue: (item.ReferencedImageSequence[0].ReferencedSOPInstanceUID, text)
        for item in state.GraphicAnnotationSequence
        for text in item.get("TextObjectSequence", [])
    }
    assert {name: uid for name, (uid, _) in labels.items()} == {
        "Aneurysm candidate 1": f"{ROOT}.3.5",  # slices 2 to 5 from 0, centre 4
        "Aneurysm candidate 2": f"{ROOT}.3.9",
    }
    first = labels["Aneurysm candidate 1"][1]
    assert first.BoundingBoxBottomRightHandCorner[0] < 20, "there is no room to its right"
    assert first.AnchorPoint == [20, 13], "the middle of its left side"


def test_tracking_uids_are_those_of_the_segmentation(made: Made) -> None:
    source, findings, encoded = made
    segments = encode_segmentation(source, findings, make_context()).SegmentSequence
    drawn = {
        (graphic.TrackingID, graphic.TrackingUID)
        for item in read(encoded).GraphicAnnotationSequence
        for graphic in [*item.get("GraphicObjectSequence", []), *item.get("TextObjectSequence", [])]
    }
    assert drawn == {(segment.TrackingID, segment.TrackingUID) for segment in segments}


def test_the_same_findings_give_the_same_bytes(made: Made) -> None:
    source, findings, encoded = made
    assert encode(source, findings).data == encoded.data


def test_slices_on_several_scales_cannot_have_one_state(tmp_path: Path) -> None:
    source, findings, _ = make(tmp_path, SMALL)
    assert common_rescale(source) == (1.0, -1024.0)
    source.datasets[7].RescaleIntercept = "-1000"
    assert common_rescale(source) is None
    with pytest.raises(NodeError, match="Rescale"):
        encode(source, findings)


@pytest.mark.parametrize("case", CASES)
def test_validators_find_no_error_and_the_self_check_passes(tmp_path: Path, case: str) -> None:
    source, findings, encoded = make(tmp_path / "source", CASES[case])
    check_presentation_state(encoded, source, findings)
    assert read(encoded).PatientName == source.datasets[0].PatientName
    assert errors(encoded, tmp_path / "state.dcm") == set()


def errors(encoded: EncodedObject, file: Path) -> set[str]:
    file.write_bytes(encoded.data)
    return complaints(file)


def test_dciodvfy_would_find_an_error(made: Made, tmp_path: Path) -> None:
    def forget_the_label(state: Dataset) -> None:
        del state.ContentLabel

    assert any("ContentLabel" in line for line in errors(changed(made[2], forget_the_label), tmp_path / "a.dcm"))


def test_dcmtk_applies_it_to_an_image(tmp_path: Path) -> None:
    """Stored 1224 is 200 HU, the window's middle: grey 127 or 128 of 255; a pixel of 524 HU is white."""
    source, _, encoded = make(tmp_path / "source", SMALL)
    state, target = tmp_path / "state.dcm", tmp_path / "shown.pgm"
    state.write_bytes(encoded.data)
    image = dcmread(source.paths[4])
    stored = np.full((24, 30), 1224, np.uint16)
    stored[10:16, 20:25] = 1548
    image.PixelData = stored.tobytes()
    image.save_as(tmp_path / "image.dcm")
    command = [program("dcmp2pgm"), "--verbose", "--pstate", str(state), str(tmp_path / "image.dcm"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "coordinates: 20\\10, 25\\10, 25\\16, 20\\16, 20\\10" in said
    assert 'text 1: "Aneurysm candidate 1"' in said
    assert "displayed area TLHC=1\\1 BRHC=30\\24" in said
    shown = np.frombuffer(target.read_bytes()[-24 * 30 :], np.uint8).reshape(24, 30)
    white = fill_even_odd([np.array(RECTANGLE, np.float64)], 24, 30)
    assert (shown[white] == 255).all() and np.isin(shown[~white], (127, 128)).all()
