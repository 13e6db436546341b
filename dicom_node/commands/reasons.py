"""`dicom-node reasons`: every code that says why a series is not analysed."""

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from dicom_node.reasons import REASONS


def print_reasons(*, as_json: bool) -> None:
    """The table of codes, kinds, meanings and advice."""
    if as_json:
        print(json.dumps([asdict(reason) for reason in REASONS.values()], indent=2))
        return
    table = Table("code", "kind", "what it means", "what to do", show_lines=True)
    for reason in REASONS.values():
        table.add_row(str(reason.code), reason.kind, reason.text, reason.advice)
    Console().print(table)
