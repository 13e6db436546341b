"""A slice's plane refuses numbers that no slice can have."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.slice_plane import SlicePlane, slice_distances

AXIAL = SlicePlane("1.2.3", None, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5), 512, 512)


@pytest.mark.parametrize(
    "change",
    [
        {"position": (0.0, float("nan"), 0.0)},
        {"position": (0.0, 0.0, 1e5)},
        {"row_direction": (1.0, 0.01, 0.0), "column_direction": (0.0, 1.0, 0.0)},
        {"row_direction": (0.9, 0.0, 0.0)},
        {"row_direction": (0.0, 0.0, 0.0)},
        {"pixel_spacing": (0.0, 0.5)},
        {"pixel_spacing": (0.5, -0.5)},
        {"pixel_spacing": (0.5, float("inf"))},
        {"rows": 0},
        {"columns": 65535},
    ],
)
def test_impossible_numbers_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(NotAnalysable) as refusal:
        replace(AXIAL, **change)  # type: ignore[arg-type]
    assert refusal.value.reason is Reason.INVALID_GEOMETRY


def test_cosines_written_with_four_decimals_are_good_enough() -> None:
    cosine, sine = round(np.cos(0.2), 4), round(np.sin(0.2), 4)
    replace(AXIAL, column_direction=(0.0, cosine, sine))


def test_normal_points_to_the_head_however_the_image_is_turned() -> None:
    prone = replace(AXIAL, row_direction=(-1.0, 0.0, 0.0), column_direction=(0.0, -1.0, 0.0))
    from_above = replace(AXIAL, row_direction=(-1.0, 0.0, 0.0))
    for plane in (AXIAL, prone, from_above):
        assert plane.normal.tolist() == [0.0, 0.0, 1.0]


def test_axial_angle_of_a_slice_turned_about_the_left_right_axis() -> None:
    angle = np.radians(18.5)
    turned = replace(AXIAL, column_direction=(0.0, float(np.cos(angle)), float(-np.sin(angle))))
    assert turned.axial_angle_degrees == pytest.approx(18.5)
    assert AXIAL.axial_angle_degrees == 0.0


def test_distances_grow_towards_the_head() -> None:
    planes = [replace(AXIAL, row_direction=(-1.0, 0.0, 0.0), position=(5.0, 7.0, z)) for z in (3.0, -1.0)]
    assert slice_distances(planes).tolist() == [3.0, -1.0]
