"""The risk map of cases and how risk is spread, as the paper's Figure 6."""

from collections.abc import Sequence
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
    View,
    draw_letters,
    draw_mip,
    draw_scale_bar,
    readable,
)
from training.metrics.targets import close_prediction, find_targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = (SAGITTAL, CORONAL, AXIAL)
"""In the order of the paper's Figure 6."""

SCALE_BAR_MM = 50.0
BINS = np.linspace(0, 1, 21)


@dataclass(frozen=True, eq=False)
class RiskCase:
    """A case with its risk map.

    hu: (D, H, W) HU in canonical order; risk: (D, H, W) float, 0 to 1; truth, prediction: (D, H, W) bool.
    """

    name: str
    hu: NDArray[Any]
    spacing_mm: tuple[float, float, float]
    risk: NDArray[np.floating]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]


def draw_risk_panels(path: Path, cases: Sequence[RiskCase]) -> None:
    """A row for each case, with crosshairs at its first true target and the risk there; below, histograms of risk.

    The histograms are of all voxels, at the centres of true targets, and at those of predicted ones. Needs matplotlib.
    Raises ValueError where shapes differ or a risk is no number from 0 to 1, OSError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    for case in cases:
        _check(case)
    figure = Figure(figsize=(11, 3.4 * len(cases) + 3.6), layout="constrained")
    grid = figure.add_gridspec(len(cases) + 1, 3)
    for row, case in enumerate(cases):
        panels = [figure.add_subplot(grid[row, column]) for column in range(3)]
        image = _draw_case(panels, case, headed=row == 0)
        figure.colorbar(image, ax=panels, label="risk", shrink=0.9, pad=0.01)
    _draw_histograms([figure.add_subplot(grid[-1, column]) for column in range(3)], cases)
    figure.suptitle(f"Risk by the global positioning network. {RESEARCH_NOTICE}", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _check(case: RiskCase) -> None:
    for name in ("risk", "truth", "prediction"):
        if getattr(case, name).shape != case.hu.shape:
            raise ValueError(f"{case.name}: {name} has another shape than the image, {case.hu.shape}")
    if not (case.risk.min() >= 0 and case.risk.max() <= 1):  # also where one is not a number
        raise ValueError(f"{case.name}: risks are not all numbers from 0 to 1")


def _draw_case(panels: Sequence["Axes"], case: RiskCase, headed: bool) -> Any:
    """Returns the last picture of risk, for the colour bar."""
    centres = _centres(case.truth)
    centre = centres[0] if centres else (case.hu.shape[0] / 2, case.hu.shape[1] / 2, case.hu.shape[2] / 2)
    for axes, view in zip(panels, VIEWS, strict=True):
        image = _draw_view(axes, case, view, centre)
        if centres:
            _draw_crosshair(axes, case, view, centre)
        if headed:
            axes.set_title(view.name, fontsize=10)
    panels[0].set_ylabel(case.name, fontsize=11)
    return image


def _draw_view(axes: "Axes", case: RiskCase, view: View, centre: tuple[float, float, float]) -> Any:
    draw_mip(axes, case.hu, view, view.slab(centre, case.hu.shape, SLAB_VOXELS), case.spacing_mm)
    plane = view.turned(np.take(case.risk, round(centre[view.axis]), axis=view.axis))
    image = axes.imshow(plane, cmap="jet", alpha=0.45, vmin=0, vmax=1, aspect=view.aspect(case.spacing_mm))
    draw_scale_bar(axes, view, case.spacing_mm, SCALE_BAR_MM)
    draw_letters(axes, view)
    return image


def _draw_crosshair(axes: "Axes", case: RiskCase, view: View, centre: tuple[float, float, float]) -> None:
    x, y = view.point(centre, case.hu.shape)
    axes.axvline(x, color="white", linewidth=0.8)
    axes.axhline(y, color="white", linewidth=0.8)
    text = f"{_at(case.risk, centre):.2f}"
    axes.annotate(text, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=9, **readable())


def _draw_histograms(panels: Sequence["Axes"], cases: Sequence[RiskCase]) -> None:
    """Shares in %: a share of voxels on a logarithmic scale, for most of them have no risk at all."""
    voxels = np.sum([np.histogram(case.risk, BINS)[0] for case in cases], axis=0)
    true = [_at(case.risk, centre) for case in cases for centre in _centres(case.truth)]
    found = [_at(case.risk, centre) for case in cases for centre in _centres(close_prediction(case.prediction))]
    counted = (
        ("all voxels", voxels),
        (f"centres of {len(true)} true targets", np.histogram(true, BINS)[0]),
        (f"centres of {len(found)} predicted targets", np.histogram(found, BINS)[0]),
    )
    for axes, (title, counts) in zip(panels, counted, strict=True):
        shares = 100 * counts / max(int(counts.sum()), 1)
        axes.bar(BINS[:-1], shares, np.diff(BINS), align="edge", color="#0072b2", edgecolor="white", linewidth=0.5)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("risk")
        axes.set_xlim(0, 1)
    panels[0].set_yscale("log")
    panels[0].set_ylabel("%")


def _centres(mask: NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """Of the targets, largest first."""
    return [target.centre for target in sorted(find_targets(mask), key=lambda target: -target.voxels)]


def _at(risk: NDArray[np.floating], centre: tuple[float, float, float]) -> float:
    k, j, i = (round(value) for value in centre)
    return float(risk[k, j, i])
