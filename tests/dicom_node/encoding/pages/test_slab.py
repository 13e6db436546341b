"""Where things land in a picture: right on the left, head up, at the scale that is promised, outlines outside."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_node.encoding.pages.slab import (
    AXIAL,
    CORONAL,
    PLANES,
    SAGITTAL,
    Frame,
    Plane,
    outline,
    place,
    project,
)
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

SPACING = (1.0, 0.5, 0.5)
SHAPE = (20, 40, 48)
CENTRE = (9.5, 19.5, 23.5)
AFFINE = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1]])


def _volume(*spots: tuple[int, int, int]) -> Volume:
    hu = np.zeros(SHAPE, np.int16)
    for spot in spots:
        hu[spot] = 3000
    return Volume(hu, AFFINE)


def _brightest(picture: NDArray[np.uint8]) -> tuple[float, float]:
    """(x, y) of the middle of what is brightest."""
    y, x = np.nonzero(picture == picture.max())
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        # From the centre: 4 mm towards the head, 3 mm to the front, 5 mm to the patient's left; 4 pixels a mm.
        (AXIAL, (39.5 + 20, 39.5 - 12)),
        (CORONAL, (39.5 + 20, 39.5 - 16)),
        (SAGITTAL, (39.5 - 12, 39.5 - 16)),
    ],
)
def test_a_voxel_lies_where_its_place_in_the_patient_says(plane: Plane, expected: tuple[float, float]) -> None:
    index = (9 + 4, 19 - 6, 23 + 10)
    volume = _volume(index)
    frame = Frame(plane, (9.0, 19.0, 23.0), 20.0, 40.0, 80)
    assert place(frame, volume, index) == pytest.approx(expected)
    assert _brightest(project(volume, frame)) == pytest.approx(expected, abs=0.51)


def test_letters_name_the_sides() -> None:
    """Axial: front above, the patient's right on the left; coronal and sagittal: head above; sagittal: face left."""
    assert [plane.letters for plane in PLANES] == [("A", "P", "R", "L"), ("S", "I", "R", "L"), ("S", "I", "A", "P")]


def test_a_slab_shows_its_depth_and_nothing_beyond() -> None:
    inside, outside = (11, 20, 24), (13, 10, 24)
    frame = Frame(AXIAL, (9.0, 19.5, 23.5), 24.0, 6.0, 96)
    picture = project(_volume(inside, outside), frame)
    at_inside, at_outside = (place(frame, _volume(), spot) for spot in (inside, outside))
    assert picture[round(at_inside[1]), round(at_inside[0])] == 255
    # 0 HU in a window from -100 to 500 HU
    assert picture[round(at_outside[1]), round(at_outside[0])] == round(100 / 600 * 255)


def test_beyond_the_volume_there_is_air() -> None:
    picture = project(_volume(), Frame(AXIAL, (9.0, 19.5, 0.0), 24.0, 4.0, 96))
    assert picture[48, 5] == 0 and picture[48, 90] == round(100 / 600 * 255)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("slab_mm", [8.0, 0.0])
def test_an_outline_surrounds_the_lesion_and_covers_none_of_it(plane: Plane, slab_mm: float) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    box = ((8, 12), (17, 23), (20, 28))
    labels[tuple(slice(*ends) for ends in box)] = 1
    lesion = Lesion(1, 192, 48.0, 5.0, (9, 20, 24), (0, 0, 0), box, 0.9, 1.0, 0.5)
    findings = Findings(labels, AFFINE, (lesion,), 0.5, 0.5, 5, 10, 48, False, "a" * 64, "GLIA-Net", "0", 1, 1)
    bright = np.where(labels == 1, np.int16(500), np.int16(-100))  # white and black in the window
    volume, frame = Volume(bright, AFFINE), Frame(plane, (9.0, 19.5, 23.5), 20.0, slab_mm, 160)
    line = outline(findings, lesion, volume, frame)
    seen = project(volume, frame) >= 128
    assert line.any() and seen.any() and not (line & seen).any()
    rows, columns = np.nonzero(line)
    lesion_rows, lesion_columns = np.nonzero(seen)
    for outer, inner in ((rows, lesion_rows), (columns, lesion_columns)):
        assert inner.min() - 12 < outer.min() < inner.min() and inner.max() < outer.max() < inner.max() + 12
