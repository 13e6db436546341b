"""The canonical grid that slices form, with values worked out by hand."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.geometry import GridGeometry, SlicePlane, build_geometry
from dicom_node.settings import AssemblySettings

ROWS, COLUMNS = 4, 6
SUPINE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
TOLERANCES = AssemblySettings()
Direction = tuple[float, float, float]


def planes(
    directions: tuple[Direction, Direction] = SUPINE,
    origin: Direction = (-10.0, -20.0, 30.0),
    step: Direction = (0.0, 0.0, 0.6),
    count: int = 3,
) -> list[SlicePlane]:
    return [
        SlicePlane(
            sop_instance_uid=f"1.2.{number}",
            frame_number=None,
            position=(
                origin[0] + number * step[0],
                origin[1] + number * step[1],
                origin[2] + number * step[2],
            ),
            row_direction=directions[0],
            column_direction=directions[1],
            pixel_spacing=(0.5, 0.4),
            rows=ROWS,
            columns=COLUMNS,
        )
        for number in range(count)
    ]


def centre_of(geometry: GridGeometry, k: int, j: int, i: int) -> list[float]:
    return [round(float(value), 6) for value in (geometry.affine @ [k, j, i, 1])[:3]]


def test_supine_head_first_slices_are_canonical_as_they_are() -> None:
    geometry = build_geometry(planes(), TOLERANCES)
    assert (geometry.flip_rows, geometry.flip_columns, geometry.swap_axes) == (False, False, False)
    assert geometry.shape == (3, ROWS, COLUMNS)
    assert geometry.spacing == pytest.approx((0.6, 0.5, 0.4))
    expected = [[0, 0, 0.4, -10], [0, 0.5, 0, -20], [0.6, 0, 0, 30], [0, 0, 0, 1]]
    assert geometry.affine == pytest.approx(np.array(expected))


def test_slices_are_sorted_by_position_alone() -> None:
    shuffled = planes(count=9)
    random.Random(5).shuffle(shuffled)
    geometry = build_geometry(shuffled, TOLERANCES)
    assert [plane.sop_instance_uid for plane in geometry.planes] == [f"1.2.{number}" for number in range(9)]
    assert geometry.affine == pytest.approx(build_geometry(planes(count=9), TOLERANCES).affine)


def test_slices_given_head_to_foot_are_turned_round() -> None:
    geometry = build_geometry(planes(step=(0.0, 0.0, -0.6)), TOLERANCES)
    assert [plane.position[2] for plane in geometry.planes] == pytest.approx([28.8, 29.4, 30.0])
    assert centre_of(geometry, 0, 0, 0) == [-10.0, -20.0, 28.8]


def test_prone_slices_are_flipped_both_ways() -> None:
    """The first stored voxel is the rearmost left one: 10 and 20 mm from the origin."""
    geometry = build_geometry(
        planes(((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)), origin=(10.0, 20.0, 0.0)), TOLERANCES
    )
    assert (geometry.flip_rows, geometry.flip_columns) == (True, True)
    assert centre_of(geometry, 0, 0, 0) == [10 - 5 * 0.4, 20 - 3 * 0.5, 0.0]
    assert centre_of(geometry, 0, 3, 5) == [10.0, 20.0, 0.0]


def test_feet_first_slices_are_flipped_left_to_right() -> None:
    geometry = build_geometry(
        planes(((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), origin=(10.0, 0.0, 0.0)), TOLERANCES
    )
    assert (geometry.flip_rows, geometry.flip_columns) == (False, True)
    assert centre_of(geometry, 0, 0, 0) == [8.0, 0.0, 0.0]


def test_decubitus_slices_have_their_axes_swapped() -> None:
    """The patient lies on the right side: stored columns run to the back, stored rows to the right."""
    geometry = build_geometry(
        planes(((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)), origin=(10.0, 0.0, 0.0)), TOLERANCES
    )
    assert (geometry.swap_axes, geometry.flip_rows, geometry.flip_columns) == (True, True, False)
    assert geometry.shape == (3, COLUMNS, ROWS)
    assert centre_of(geometry, 0, 0, 0) == [10 - 3 * 0.5, 0.0, 0.0]
    assert centre_of(geometry, 0, 5, 3) == [10.0, 5 * 0.4, 0.0]


ORIENTATIONS = [
    (tuple(sign * unit for unit in row), tuple(other * unit for unit in column))
    for (row, column) in (SUPINE, SUPINE[::-1])
    for sign, other in itertools.product((1.0, -1.0), repeat=2)
]


@pytest.mark.parametrize("directions", ORIENTATIONS)
def test_every_stored_voxel_keeps_its_place_in_the_patient(directions: tuple[Direction, Direction]) -> None:
    geometry = build_geometry(planes(directions), TOLERANCES)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    steps = rows[..., None] * 0.5 * np.array(directions[1]) + columns[..., None] * 0.4 * np.array(
        directions[0]
    )
    stored = np.stack(
        [np.array(plane.position) + steps for plane in geometry.planes]
    )  # (D, rows, columns, 3)
    canonical = np.stack([geometry.from_stored(stored[..., axis]) for axis in range(3)], axis=-1)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    expected = index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    assert canonical == pytest.approx(expected)
    assert np.all(np.diag(geometry.affine[[2, 1, 0], :3]) > 0), "k to the head, j to the back, i to the left"
    assert np.array_equal(geometry.to_stored(geometry.from_stored(stored[..., 0])), stored[..., 0])


@given(st.tuples(*[st.floats(-14, 14)] * 3), st.floats(0.2, 1.5), st.integers(2, 40))
def test_oblique_slices_give_back_the_grid_they_were_cut_from(
    angles: tuple[float, float, float], spacing: float, count: int
) -> None:
    x, y, z = np.radians(angles)
    turn = (
        np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
        @ np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        @ np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    )
    left, back, head = (tuple(float(value) for value in column) for column in turn.T)
    step = tuple(spacing * value for value in head)
    geometry = build_geometry(planes((left, back), step=step, count=count), TOLERANCES)  # type: ignore[arg-type]
    assert geometry.affine[:3, 0] == pytest.approx(step)
    assert geometry.affine[:3, 1] == pytest.approx(0.5 * np.array(back))
    assert geometry.affine[:3, 2] == pytest.approx(0.4 * np.array(left))


def test_spacing_comes_from_the_first_and_the_last_slice() -> None:
    """Every position is off by less than the tolerance; no single gap has the spacing of the whole."""
    jittered = [
        replace(plane, position=(-10.0, -20.0, 30.0 + 0.6 * number + off))
        for number, (plane, off) in enumerate(
            zip(planes(count=5), (0.0, 0.04, -0.03, 0.02, 0.02), strict=True)
        )
    ]
    assert build_geometry(jittered, TOLERANCES).spacing[0] == pytest.approx((2.42) / 4)


def test_affine_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        build_geometry(planes(), TOLERANCES).affine[0, 0] = 1.0
