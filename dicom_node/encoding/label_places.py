"""Where the label of an outline can stand so that it covers neither an outline nor another label."""

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in PIXEL units (PS3.3 C.10.5): 0 is the outer edge of the first column or row."""

WIDTH, HEIGHT, GAP = 0.27, 0.035, 0.02
"""Of a label and of its distance from the outline, as parts of the image's width (gap: of both sides): some 20
letters 18 pixels high where the image has 512 x 512."""
SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))
"""Places to try, in this order: to the right (1) or left (-1), and below (1) or above (-1)."""


def place_label(outline: Box, taken: Sequence[Box], rows: int, columns: int) -> Box:
    """The box of a label beside `outline`, inside the image, clear of `taken` where there is such a place."""
    boxes = [_beside(outline, side, rows, columns) for side in SIDES]
    others = [outline, *taken]
    return min(boxes, key=lambda box: sum(_overlap(box, other) for other in others))


def _beside(outline: Box, side: tuple[int, int], rows: int, columns: int) -> Box:
    left, right = _shifted(outline[0], outline[2], side[0], WIDTH * columns, GAP * columns, columns)
    top, bottom = _shifted(outline[1], outline[3], side[1], HEIGHT * rows, GAP * rows, rows)
    return left, top, right, bottom


def _shifted(first: float, last: float, side: int, size: float, gap: float, limit: int) -> tuple[float, float]:
    """Ends along one axis of a label before (-1), at the middle of (0) or after (1) the outline."""
    start = {-1: first - gap - size, 0: (first + last - size) / 2, 1: last + gap}[side]
    start = min(max(start, 0.0), limit - size)
    return start, start + size


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
