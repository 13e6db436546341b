"""Where labels stand: beside the outline, inside the image, not upon each other."""

import pytest

from dicom_node.encoding.label_places import Box, place_label

ROWS, COLUMNS = 400, 200  # a label is 54 wide and 14 high, 4 and 8 from the outline


def test_a_label_stands_to_the_right_at_the_height_of_the_middle() -> None:
    assert place_label((50.0, 100.0, 60.0, 120.0), [], ROWS, COLUMNS) == pytest.approx((64.0, 103.0, 118.0, 117.0))


def test_at_the_right_edge_it_stands_to_the_left() -> None:
    assert place_label((180.0, 100.0, 190.0, 120.0), [], ROWS, COLUMNS) == pytest.approx((122.0, 103.0, 176.0, 117.0))


def test_where_another_outline_lies_on_both_sides_it_stands_above() -> None:
    others = [(64.0, 95.0, 120.0, 130.0), (0.0, 95.0, 46.0, 130.0)]
    assert place_label((50.0, 100.0, 60.0, 120.0), others, ROWS, COLUMNS) == pytest.approx((28.0, 78.0, 82.0, 92.0))


@pytest.mark.parametrize("outline", [(0.0, 0.0, 3.0, 3.0), (197.0, 397.0, 200.0, 400.0), (0.0, 0.0, 200.0, 400.0)])
def test_it_stays_inside_the_image(outline: Box) -> None:
    left, top, right, bottom = place_label(outline, [], ROWS, COLUMNS)
    assert 0 <= left < right <= COLUMNS and 0 <= top < bottom <= ROWS


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    outlines = [(90.0, 100.0, 94.0, 104.0), (90.0, 106.0, 94.0, 110.0)]
    taken: list[Box] = list(outlines)
    for outline in outlines:
        taken.append(place_label(outline, taken, ROWS, COLUMNS))
    for number, one in enumerate(taken):
        for other in taken[:number]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)
