"""The report of a reader study."""

from collections.abc import Sequence
from pathlib import Path

from glianet.durable import write_durably
from training.readers.scores import ScoredReading
from training.readers.tables import reader_tables
from training.results import RunResults
from training.tables.estimates import ReportError
from training.tables.html_report import html_report
from training.tables.markdown_report import markdown_report

TITLE = "Reader study"


def write_reader_report(
    scored: Sequence[ScoredReading], html: Path | None, markdown: Path | None, model: Sequence[RunResults] = ()
) -> None:
    """Writes the tables as HTML, as Markdown, or both. model: runs of one model on the same cases.

    Raises ReportError where there is nothing to report or no file is named, OSError where one cannot be written.
    """
    if html is None and markdown is None:
        raise ReportError("no file is named for the report; name one for HTML, for Markdown, or for both")
    if not scored:
        raise ReportError("there are no readings to report")
    tables = reader_tables(scored, model)
    if html is not None:
        write_durably(html, html_report(TITLE, tables).encode())
    if markdown is not None:
        write_durably(markdown, markdown_report(TITLE, tables).encode())
