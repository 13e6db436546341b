"""`dicom-node reasons`: every code that says why a series is not analysed, or has failed."""

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicom_node.errors import NodeError
from dicom_node.failures import FAILURES, FailureReason
from dicom_node.reasons import REASONS, RefusalReason

Explained = RefusalReason | FailureReason


def print_reasons(code: str | None, *, as_json: bool) -> None:
    """Codes, kinds, meanings and advice: of all reasons, or of one."""
    known: list[Explained] = [*REASONS.values(), *FAILURES.values()]
    reasons = [reason for reason in known if code in (None, reason.code)]
    if not reasons:
        raise NodeError(
            "no such reason", where=str(code), advice="`dicom-node reasons` without a code lists all"
        )
    if as_json:
        print(json.dumps([asdict(reason) for reason in reasons], indent=2))
        return
    table = Table("code", "kind", "what it means, and what to do", show_lines=True)
    for reason in reasons:
        table.add_row(*map(Text, _cells(reason)))  # Text: advice names tables of config.toml in brackets
    Console().print(table)


def _cells(reason: Explained) -> tuple[str, str, str]:
    return str(reason.code), reason.kind.replace("-", " "), f"{reason.text}\n{reason.advice}"
