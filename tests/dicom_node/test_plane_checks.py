"""What the slices of one grid must not do, each with its coded reason."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dicom_node.plane_checks import check_planes
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import AssemblySettings
from dicom_node.slice_plane import SlicePlane

TOLERANCES = AssemblySettings(
    position_tolerance_mm=0.05, orientation_tolerance=1e-4, maximum_gantry_tilt_degrees=0.1
)


def slices_at(places: Sequence[tuple[float, float]]) -> list[SlicePlane]:
    """Axial slices at (y, z) mm."""
    return [
        SlicePlane("1.2", number, (0.0, y, z), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5), 512, 512)
        for number, (y, z) in enumerate(places)
    ]


def even(count: int = 10, spacing: float = 0.6) -> list[SlicePlane]:
    return slices_at([(0.0, spacing * number) for number in range(count)])


def refusal(planes: Sequence[SlicePlane]) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        check_planes(planes, TOLERANCES)
    return caught.value


def test_even_slices_pass() -> None:
    check_planes(even(), TOLERANCES)
    check_planes(even(2), TOLERANCES)


def test_one_slice_is_too_few() -> None:
    assert refusal(even(1)).reason is Reason.TOO_FEW_SLICES


@pytest.mark.parametrize("missing", [1, 4, 8])
def test_one_missing_slice_is_found_wherever_it_was(missing: int) -> None:
    planes = even()
    del planes[missing]
    caught = refusal(planes)
    assert caught.reason is Reason.MISSING_SLICE
    assert caught.detail.startswith(
        f"1 missing at 0.600 mm spacing: 1 between slices {missing} and {missing + 1} "
    )


def test_gaps_are_counted_and_named() -> None:
    planes = [plane for number, plane in enumerate(even(20)) if number not in (3, 4, 5, 12)]
    detail = refusal(planes).detail
    assert detail.startswith("4 missing")
    assert "3 between slices 3 and 4 from the feet (1.20 and 3.60 mm" in detail
    assert "1 between slices 9 and 10 from the feet (6.60 and 7.80 mm" in detail


def test_missing_slices_are_named_from_the_feet_whatever_their_order() -> None:
    planes = even()
    del planes[2]
    assert refusal(planes[::-1]).detail == refusal(planes).detail


def test_many_gaps_are_summed_up() -> None:
    planes = [plane for number, plane in enumerate(even(40)) if number % 5 != 4]
    assert refusal(planes).detail.endswith("; and 2 more gaps")


def test_repeated_position() -> None:
    planes = even()
    caught = refusal([*planes, planes[4]])
    assert caught.reason is Reason.DUPLICATE_POSITION
    assert "1 of 11 slices" in caught.detail and "2.40 mm" in caught.detail


def test_same_plane_with_another_field_of_view_is_a_repeated_position() -> None:
    planes = even()
    assert (
        refusal([*planes, replace(planes[4], position=(30.0, 0.0, 2.4))]).reason is Reason.DUPLICATE_POSITION
    )


@pytest.mark.parametrize(("off", "accepted"), [(0.049, True), (0.06, False)])
def test_tolerance_of_a_slice_off_its_place(off: float, accepted: bool) -> None:
    planes = even()
    planes[5] = replace(planes[5], position=(0.0, 0.0, 3.0 + off))
    if accepted:
        check_planes(planes, TOLERANCES)
    else:
        assert refusal(planes).reason is Reason.UNEVEN_SPACING


def test_spacing_that_changes_halfway_is_uneven() -> None:
    places = [0.6 * number for number in range(10)] + [5.4 + 0.75 * number for number in range(1, 10)]
    assert refusal(slices_at([(0.0, z) for z in places])).reason is Reason.UNEVEN_SPACING


def test_small_drift_that_single_gaps_do_not_show_is_uneven() -> None:
    """Neighbouring gaps differ by 0.001 mm; the middle slice is 0.001 * 39 * 39 / 8 = 0.19 mm off the line."""
    places = np.cumsum(0.6 + 0.001 * np.arange(40))
    assert refusal(slices_at([(0.0, float(z)) for z in places])).reason is Reason.UNEVEN_SPACING


@pytest.mark.parametrize("degrees", [0.2, 14.0, -18.5])
def test_gantry_tilt(degrees: float) -> None:
    shift = np.tan(np.radians(degrees))
    caught = refusal(slices_at([(float(shift) * 0.6 * number, 0.6 * number) for number in range(10)]))
    assert caught.reason is Reason.GANTRY_TILT
    assert f"{abs(degrees):.2f} degrees" in caught.detail


def test_tilt_below_the_limit_passes() -> None:
    shift = float(np.tan(np.radians(0.09)))
    check_planes(slices_at([(shift * 0.6 * number, 0.6 * number) for number in range(200)]), TOLERANCES)


def test_tilted_series_with_a_gap_is_called_tilted() -> None:
    planes = slices_at([(0.15 * number, 0.6 * number) for number in range(10)])
    del planes[4]
    assert refusal(planes).reason is Reason.GANTRY_TILT


def test_sideways_jump_is_uneven_and_no_tilt() -> None:
    places = [(0.0, 0.6 * number) for number in range(10)] + [(5.0, 0.6 * number) for number in range(10, 20)]
    assert refusal(slices_at(places)).reason is Reason.UNEVEN_SPACING


def test_mixed_orientation() -> None:
    planes = even()
    angle = np.radians(2.0)
    planes[3] = replace(planes[3], column_direction=(0.0, float(np.cos(angle)), float(np.sin(angle))))
    caught = refusal(planes)
    assert caught.reason is Reason.MIXED_ORIENTATION
    assert caught.detail.startswith("1 of 10 slices")


def test_mixed_matrix_and_pixel_spacing() -> None:
    planes = even()
    assert refusal([*planes[:9], replace(planes[9], rows=256)]).reason is Reason.MIXED_MATRIX
    finer = replace(planes[9], pixel_spacing=(0.5, 0.49))
    assert refusal([*planes[:9], finer]).reason is Reason.MIXED_PIXEL_SPACING
