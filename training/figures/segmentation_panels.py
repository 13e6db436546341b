"""Cases with the outlines of truth and of models' predictions, as the paper's Figure 5."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.figures.views import (
    AXIAL,
    CORONAL,
    RESEARCH_NOTICE,
    SAGITTAL,
    SLAB_VOXELS,
    WINDOW_LEVEL_HU,
    WINDOW_WIDTH_HU,
    View,
    draw_letters,
    draw_mip,
    draw_outline,
    draw_scale_bar,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = (AXIAL, SAGITTAL, CORONAL)
ZOOM_MM = 30.0
"""Side of the square around the lesion."""

SCALE_BARS_MM = {False: 50.0, True: 5.0}
"""Of the whole plane and of the zoom."""

TRUTH = {"colors": "#00d26a", "linewidths": 1.4, "linestyles": "solid"}
COLOURS = ("#ffb000", "#ff4fa3", "#4db8ff", "#ff6b35", "#c792ff")
DASHES = ("dashed", "dotted", "dashdot")


@dataclass(frozen=True, eq=False)
class PanelCase:
    """A case to be drawn.

    hu: (D, H, W) HU in canonical order; truth and each of the predictions: (D, H, W) bool; predictions: by the model's
    name. centre: index (k, j, i) of the planes; None for the middle of the largest true target, else of the volume.
    """

    name: str
    hu: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    truth: NDArray[np.bool_]
    predictions: Mapping[str, NDArray[np.bool_]]
    centre: tuple[int, int, int] | None = None


def draw_segmentation_panels(path: Path, cases: Sequence[PanelCase]) -> None:
    """A row for each case: axial, sagittal and coronal MIP of 11 voxels, and the lesion enlarged in each.

    Needs matplotlib; the picture is of the type that the file's suffix names. Raises ValueError where masks and image
    have different shapes, OSError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    for case in cases:
        _check(case)
    figure = Figure(figsize=(15, 2.75 * len(cases) + 0.9), facecolor="black", layout="constrained")
    rows = figure.subplots(len(cases), 2 * len(VIEWS), squeeze=False)
    models = list(dict.fromkeys(name for case in cases for name in case.predictions))
    styles = {name: _style(number) for number, name in enumerate(models)}
    for number, (case, row) in enumerate(zip(cases, rows, strict=True)):
        _draw_case(row, case, styles, headed=number == 0)
    figure.suptitle(
        f"MIP of {SLAB_VOXELS} voxels, window {WINDOW_WIDTH_HU}, level {WINDOW_LEVEL_HU} HU. {RESEARCH_NOTICE}",
        color="white",
        fontsize=10,
    )
    _legend(figure, styles)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, facecolor="black")


def _check(case: PanelCase) -> None:
    for name, mask in (("truth", case.truth), *case.predictions.items()):
        if mask.shape != case.hu.shape:
            raise ValueError(f"{case.name}: {name} has shape {mask.shape}, the image {case.hu.shape}")


def _draw_case(row: Sequence["Axes"], case: PanelCase, styles: Mapping[str, dict[str, Any]], headed: bool) -> None:
    centre = case.centre or _middle(case.truth)
    for number, view in enumerate(VIEWS):
        for zoomed in (False, True):
            axes = row[2 * number + zoomed]
            _draw_view(axes, case, view, centre, styles)
            if zoomed:
                _zoom(axes, view, centre, case)
            draw_scale_bar(axes, view, case.spacing_mm, SCALE_BARS_MM[zoomed])
            draw_letters(axes, view)
            if headed:
                axes.set_title(f"{view.name}, lesion" if zoomed else view.name, color="white", fontsize=10)
    row[0].set_ylabel(case.name, color="white", fontsize=11)


def _draw_view(
    axes: "Axes", case: PanelCase, view: View, centre: tuple[int, int, int], styles: Mapping[str, dict[str, Any]]
) -> None:
    box = view.slab(centre, case.hu.shape, SLAB_VOXELS)
    draw_mip(axes, case.hu, view, box, case.spacing_mm)
    draw_outline(axes, case.truth, view, box, TRUTH)
    for name, mask in case.predictions.items():
        draw_outline(axes, mask, view, box, styles[name])


def _zoom(axes: "Axes", view: View, centre: tuple[int, int, int], case: PanelCase) -> None:
    x, y = view.point(centre, case.hu.shape)
    height, width = (case.spacing_mm[axis] for axis in range(3) if axis != view.axis)
    axes.set_xlim(x - ZOOM_MM / 2 / width, x + ZOOM_MM / 2 / width)
    axes.set_ylim(y + ZOOM_MM / 2 / height, y - ZOOM_MM / 2 / height)


def _middle(truth: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Of the largest component; of the volume where there is none."""
    from scipy import ndimage

    labels, count = ndimage.label(truth, np.ones((3, 3, 3), bool))
    if not count:
        depth, height, width = truth.shape
        return depth // 2, height // 2, width // 2
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    k, j, i = (round(float(value)) for value in ndimage.center_of_mass(labels == largest))
    return k, j, i


def _style(number: int) -> dict[str, Any]:
    return {
        "colors": COLOURS[number % len(COLOURS)],
        "linewidths": 1.4,
        "linestyles": DASHES[number % len(DASHES)],
    }


def _legend(figure: Any, styles: Mapping[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=style["colors"], linestyle=style["linestyles"], linewidth=1.6, label=name)
        for name, style in {"truth": TRUTH, **styles}.items()
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False, labelcolor="white")
