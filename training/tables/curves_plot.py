"""ROC, precision-recall and free-response curves of the models on one data set, as SVG."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.tables.estimates import DatasetEstimates, ModelEstimates, ReportError
from training.tables.mean_curves import Line, mean_froc, mean_precision_recall, mean_roc
from training.tables.measures import FPS_PER_CASE, TARGET_RECALL, VOXEL_WISE, Measure, interval_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Told apart by the colour-blind as well (Okabe and Ito)."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
"""Told apart on a grey print."""

AUC, AP = VOXEL_WISE[4], VOXEL_WISE[5]
GREY = "#888888"
LEGEND_INCHES = 0.4
"""Height that each model takes below the panels."""


def curves_svg(dataset: DatasetEstimates) -> str:
    """Three panels; the same bytes for the same results.

    Raises ReportError where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as missing:
        raise ReportError("curves need matplotlib; install it, or ask for Markdown alone") from missing
    with matplotlib.rc_context({"svg.hashsalt": dataset.dataset, "font.size": 10, "svg.fonttype": "path"}):
        content = io.StringIO()
        draw_curves(dataset).savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()


def draw_curves(dataset: DatasetEstimates) -> "Figure":
    """ROC, precision-recall, free response, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.2, 4.9 + LEGEND_INCHES * len(dataset.models)), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 3)
    roc, precision_recall, froc = panels
    _draw_rates(roc, dataset.models, [mean_roc(model) for model in dataset.models], AUC)
    _label(roc, "ROC, voxel-wise", "False-positive rate", "Recall")
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
    lines = [mean_precision_recall(model) for model in dataset.models]
    _draw_rates(precision_recall, dataset.models, lines, AP)
    _label(precision_recall, "Precision and recall, voxel-wise", "Recall", "Precision")
    _draw_froc(froc, dataset.models)
    _label(froc, "Free response, target-wise", "False positives per case", "Recall")
    return figure


def _draw_rates(axes: "Axes", models: Sequence[ModelEstimates], lines: list[Line | None], area: Measure) -> None:
    for number, (model, line) in enumerate(zip(models, lines, strict=True)):
        label = f"{model.model}\n{area.heading} {_value(model, area)}"
        axes.plot(*(line or ([], [])), label=label, **_style(number))
    axes.set_xlim(-0.02, 1.02)
    axes.set_aspect("equal")


def _draw_froc(axes: "Axes", models: Sequence[ModelEstimates]) -> None:
    """A dot at each threshold, a ring where the tables' figures are."""
    for number, model in enumerate(models):
        points = [(fps, recall) for _, recall, fps in mean_froc(model) if recall is not None]
        label = f"{model.model}\n{FPS_PER_CASE.heading} {_value(model, FPS_PER_CASE)}"
        fps, recall = [point[0] for point in points], [point[1] for point in points]
        axes.plot(fps, recall, marker="o", markersize=3, label=label, **_style(number))
        found, false = (model.figures[measure.name] for measure in (TARGET_RECALL, FPS_PER_CASE))
        if found and false:
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(false.value, found.value, marker="o", markersize=9, fillstyle="none", color=colour)
    axes.set_xlim(left=0)
    axes.set_box_aspect(1)


def _label(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=9, handlelength=3.2)


def _style(number: int) -> dict[str, Any]:
    colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return {"color": colour, "linestyle": dashes, "linewidth": 1.8, "zorder": 3}


def _value(model: ModelEstimates, measure: Measure) -> str:
    interval = model.figures[measure.name]
    return interval_text(interval, measure.unit) if interval else "undefined"
