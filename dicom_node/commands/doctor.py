"""`dicom-node doctor`: whether the storage folder is whole, and repairs."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.doctor.examine import examine
from dicom_node.doctor.verdict import Check
from dicom_node.logs import logs_held_back
from dicom_node.printable import printable
from dicom_node.settings import Settings

STYLES = {"ok": "green", "repaired": "cyan", "warning": "yellow", "error": "red"}
INDENT = " " * 10


def examine_node(settings: Settings, *, repair: bool, deep: bool, backup: Path | None, as_json: bool) -> bool:
    """Examine, repair where asked, and print what was found; whether nothing is wrong any more."""
    with logs_held_back(), Console(stderr=True).status("looking") as shown:
        checks = examine(
            settings,
            repair=repair,
            deep=deep,
            backup=backup,
            actor=calling_account(),
            clock=system_clock,
            progress=lambda what, done, total: shown.update(f"{what} {done}/{total}") if done % 100 == 0 else None,
        )
    sound = not any(check.failed for check in checks)
    if as_json:
        print(json.dumps({"sound": sound, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print(checks)
    return sound


def _print(checks: list[Check]) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    width = max(len(check.name) for check in checks)
    for check in checks:
        level = (f"{check.level:<10}", STYLES[check.level])
        console.print(Text.assemble(level, f"{check.name:<{width}}  {printable(check.outcome)}"))
        for example in check.examples:
            console.print(printable(f"{INDENT}{example}"))
