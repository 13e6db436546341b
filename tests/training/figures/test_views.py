"""Where a voxel is shown, worked out by hand."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.figures.views import AXIAL, CORONAL, SAGITTAL, View, draw_outline, draw_scale_bar

SHAPE, SPACING_MM = (10, 20, 30), (2.0, 0.5, 0.25)


@pytest.mark.parametrize("view", [AXIAL, CORONAL, SAGITTAL])
def test_a_voxel_is_shown_where_its_point_says(view: View) -> None:
    volume = np.zeros(SHAPE, bool)
    volume[2, 7, 21] = True
    shown = view.turned(volume.max(axis=view.axis))
    x, y = view.point((2, 7, 21), SHAPE)
    assert np.argwhere(shown).tolist() == [[y, x]]


def test_points_by_hand() -> None:
    assert AXIAL.point((2, 7, 21), SHAPE) == (21, 7)
    assert CORONAL.point((2, 7, 21), SHAPE) == (21, 7)  # slice 2 of 10, counted from the top: 9 - 2
    assert SAGITTAL.point((1, 7, 21), SHAPE) == (7, 8)
    assert (AXIAL.aspect(SPACING_MM), CORONAL.aspect(SPACING_MM), SAGITTAL.aspect(SPACING_MM)) == (2.0, 8.0, 4.0)


def test_slab_is_cut_off_at_the_ends() -> None:
    assert AXIAL.slab((2, 0, 0), SHAPE, 11) == (slice(0, 8), slice(None), slice(None))
    assert SAGITTAL.slab((0, 0, 15), SHAPE, 11) == (slice(None), slice(None), slice(10, 21))


def test_scale_bar_has_its_length() -> None:
    axes = Figure().subplots()
    axes.set_xlim(0, 30)
    draw_scale_bar(axes, AXIAL, SPACING_MM, 5.0)
    left, right = axes.lines[-1].get_xdata()
    assert right - left == pytest.approx(20)  # 5 mm of pixels of 0.25 mm


def test_outline_lies_around_the_mask() -> None:
    axes = Figure().subplots()
    mask = np.zeros(SHAPE, bool)
    mask[0, 5:9, 0:4] = True  # at the edge: the outline must close
    draw_outline(axes, mask, AXIAL, AXIAL.slab((0, 0, 0), SHAPE, 11), {"colors": "red"})
    (path,) = axes.collections[0].get_paths()
    low, high = path.vertices.min(axis=0), path.vertices.max(axis=0)
    assert (low.tolist(), high.tolist()) == ([-0.5, 4.5], [3.5, 8.5])
