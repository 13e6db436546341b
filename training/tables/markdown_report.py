"""Tables as Markdown (GitHub's tables)."""

from collections.abc import Sequence

from training.tables.layout import Cell, Row, Table

RESEARCH_NOTICE = "For research use only. Not for diagnosis."
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
SPECIAL = "\\|*_`<>[]#"
"""What Markdown would take for its own."""


def markdown_report(title: str, tables: Sequence[Table]) -> str:
    """A heading, the notice, and each table with its caption above and its footnotes below."""
    parts = [f"# {_escaped(title)}", f"**{RESEARCH_NOTICE}**", *(_table(table) for table in tables)]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [f"## {_escaped(table.title)}", "", _escaped(table.caption), ""]
    lines.append(_line([_escaped(column) for column in table.columns]))
    lines.append(_line(["---"] * table.labels + ["---:"] * (len(table.columns) - table.labels)))
    lines += [_row(table, row) for row in table.rows]
    notes = [f"{str(number).translate(SUPERSCRIPTS)} {_escaped(note)}  " for number, note in enumerate(table.notes, 1)]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _row(table: Table, row: Row) -> str:
    return _line([_cell(cell) + table.mark(cell).translate(SUPERSCRIPTS) for cell in row])


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    return f"**{text}**" if cell.bold and text else text


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in " ".join(text.split()))
