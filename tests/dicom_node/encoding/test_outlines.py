"""Outlines along pixel edges: worked out by hand, and filled again by matplotlib."""

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.path import Path

from dicom_node.encoding.outlines import Polyline, trace_outlines


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def traced(picture: np.ndarray) -> list[list[tuple[int, int]]]:
    return [[(int(column), int(row)) for column, row in polyline] for polyline in trace_outlines(picture)]


def test_a_pixel_is_its_four_outer_corners() -> None:
    """Row 1, column 2 covers columns 2 to 3 and rows 1 to 2: the outer corner of the first pixel is 0\\0."""
    assert traced(mask("....", "..#.", "....")) == [[(2, 1), (3, 1), (3, 2), (2, 2), (2, 1)]]


def test_the_whole_image_ends_at_columns_and_rows() -> None:
    assert traced(mask("###", "###")) == [[(0, 0), (3, 0), (3, 2), (0, 2), (0, 0)]]


def test_corners_alone_are_points() -> None:
    """.##
    ###  the step inwards at the upper left corner."""
    assert traced(mask(".##", "###")) == [[(1, 0), (3, 0), (3, 2), (0, 2), (0, 1), (1, 1), (1, 0)]]


def test_a_hole_has_an_outline_of_its_own() -> None:
    outer, hole = traced(mask("####", "#..#", "####"))
    assert outer == [(0, 0), (4, 0), (4, 3), (0, 3), (0, 0)]
    assert set(hole) == {(1, 1), (3, 1), (3, 2), (1, 2)} and hole[0] == hole[-1]


def test_pixels_that_touch_at_a_corner_are_apart() -> None:
    assert traced(mask("#.", ".#")) == [
        [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)],
        [(1, 1), (2, 1), (2, 2), (1, 2), (1, 1)],
    ]
    assert len(traced(mask(".#", "#."))) == 2


def test_nothing_has_no_outline() -> None:
    assert trace_outlines(np.zeros((3, 4), np.bool_)) == []


@settings(max_examples=200, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_filled_by_matplotlib_they_give_the_mask_back(picture: np.ndarray) -> None:
    outlines = trace_outlines(picture)
    assert np.array_equal(_filled(outlines, picture.shape), picture)
    for polyline in outlines:
        steps = np.diff(polyline, axis=0)
        assert np.array_equal(polyline[0], polyline[-1])
        assert ((steps == 0).sum(axis=1) == 1).all(), "an edge is not along the pixels"
        assert ((steps[1:] == 0) != (steps[:-1] == 0)).all(), "a point is no corner"


def _filled(outlines: list[Polyline], shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    inside = np.zeros(shape, np.bool_)
    for polyline in outlines:
        inside ^= Path(polyline).contains_points(centres).reshape(shape)
    return inside
