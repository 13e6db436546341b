"""The outlines of a mask in one slice, along the edges of its pixels."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

Polyline = npt.NDArray[np.float64]
Point = tuple[int, int]

# A pixel's sides, clockwise as seen, so that the mask lies to the right of each: the neighbour beyond the side
# (rows, columns), the corner where the side starts (column, row), and the step along it (column, row).
SIDES = (
    ((-1, 0), (0, 0), (1, 0)),
    ((0, 1), (1, 0), (0, 1)),
    ((1, 0), (1, 1), (-1, 0)),
    ((0, -1), (0, 1), (0, -1)),
)


def trace_outlines(mask: npt.NDArray[np.bool_]) -> list[Polyline]:
    """Closed polylines, (points, 2) each as (column, row), the last point equal to the first, corners alone.

    mask: (rows, columns) bool. The pixel of row r and column c covers c to c + 1 and r to r + 1: the units PIXEL of
    PS3.3 C.10.5, whose origin is the outer corner of the first pixel. Filled by the even-odd rule all polylines
    together give the mask back: holes have one of their own, pixels that touch at a corner alone are apart.
    """
    steps = _steps(mask)
    outlines = []
    for start in sorted(steps, key=lambda point: (point[1], point[0])):  # the first point left is always a corner
        while steps[start]:
            outlines.append(_walk(start, steps))
    return outlines


def _steps(mask: npt.NDArray[np.bool_]) -> dict[Point, set[Point]]:
    """From which corners of pixels, and in which directions, the border of the mask runs."""
    steps: dict[Point, set[Point]] = defaultdict(set)
    around = np.pad(mask, 1)
    rows, columns = mask.shape
    for (down, right), (column, row), step in SIDES:
        beyond = around[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
        for r, c in np.argwhere(mask & ~beyond):
            steps[int(c) + column, int(r) + row].add(step)
    return steps


def _walk(start: Point, steps: dict[Point, set[Point]]) -> Polyline:
    """Follow the border from `start` back to it, and take the steps away; where two ways meet, turn right."""
    step = steps[start].pop()
    at = start[0] + step[0], start[1] + step[1]
    points = [start]
    while at != start:
        right, left = (-step[1], step[0]), (step[1], -step[0])
        onward = next(way for way in (right, step, left) if way in steps[at])
        steps[at].remove(onward)
        if onward != step:
            points.append(at)
        step, at = onward, (at[0] + onward[0], at[1] + onward[1])
    return np.array([*points, start], dtype=np.float64)
