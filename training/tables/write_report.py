"""The report over the results of several models, runs and data sets."""

from collections.abc import Sequence
from pathlib import Path

from glianet.durable import write_durably
from training.results import RunResults
from training.tables.curves_plot import curves_svg
from training.tables.estimates import DatasetEstimates, ReportError, estimate_models
from training.tables.html_report import Picture, html_report
from training.tables.markdown_report import markdown_report
from training.tables.paper_tables import paper_tables

TITLE = "Evaluation of aneurysm segmentation"


def write_report(results: Sequence[RunResults], html: Path | None, markdown: Path | None) -> None:
    """Writes tables and curves as HTML, the same tables as Markdown, or both.

    Raises ReportError where the results cannot be compared honestly or no file is named, OSError where one cannot be
    written. HTML needs matplotlib.
    """
    if html is None and markdown is None:
        raise ReportError("no file is named for the report; name one for HTML, for Markdown, or for both")
    datasets = estimate_models(results)
    tables = paper_tables(datasets)
    if html is not None:
        pictures = [_curves(dataset) for dataset in datasets]
        write_durably(html, html_report(TITLE, tables, pictures).encode())
    if markdown is not None:
        write_durably(markdown, markdown_report(TITLE, tables).encode())


def _curves(dataset: DatasetEstimates) -> Picture:
    caption = (
        f"Curves on {dataset.dataset}; of several runs the mean at each threshold. Free response: a dot for each "
        "threshold of the table above, a ring at the figures of the other tables."
    )
    names = ", ".join(model.model for model in dataset.models)
    words = f"ROC, precision-recall and free-response curves of {names} on {dataset.dataset}; figures are in the tables"
    return Picture(curves_svg(dataset), caption, words)
