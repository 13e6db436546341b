"""`dicom-node validate`: the self-check, for results that lie in a folder."""

import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dicom_node.printable import printable
from dicom_node.validation.validate_folder import validate_folder
from dicom_node.validation.verdicts import FolderVerdict, ObjectVerdict, counted

STYLES = {"passed": "green", "failed": "red", "not made": "yellow"}
WIDTH = max(map(len, STYLES))


def validate_files(folder: Path, source: Path | None, *, as_json: bool) -> bool:
    """Check every result below `folder` and print what came out; whether there was one and none failed."""
    verdict = validate_folder(folder, source)
    if as_json:
        print(json.dumps(verdict.as_dict(), indent=2))
    else:
        console = Console(soft_wrap=True, markup=False, highlight=False)
        for one in verdict.objects:
            _print_object(console, one)
        console.print(_summary(verdict))
    return verdict.passed


def _print_object(console: Console, verdict: ObjectVerdict) -> None:
    console.print(Text(printable(f"{verdict.file}: {verdict.kind}"), style="bold"))
    if verdict.sop_instance_uid:
        console.print(printable(f"  instance {verdict.sop_instance_uid}"))
    width = max(len(check.name) for check in verdict.checks)
    for check in verdict.checks:
        outcome = (f"  {check.outcome:<{WIDTH}}  ", STYLES[check.outcome])
        console.print(Text.assemble(outcome, f"{check.name:<{width}}  {printable(check.sentence)}"))


def _summary(verdict: FolderVerdict) -> str:
    failed = sum(not one.passed for one in verdict.objects)
    outcome = f": {len(verdict.objects) - failed} passed, {failed} failed" if verdict.objects else ""
    results = f"{counted(len(verdict.objects), 'result')}{outcome}"
    images = f"{counted(sum(verdict.sources.values()), 'source image')} in {len(verdict.sources)} series"
    return f"{results}. {images}, {counted(len(verdict.skipped), 'other file')} passed over."
