"""`dicom-node send`: a C-STORE client with a progress bar."""

import json
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicom_node.send import send_folder
from dicom_node.tls import TlsClient


def send_files(
    folder: Path, host: str, port: int, called: str, calling: str, security: TlsClient | None = None, *, as_json: bool
) -> bool:
    """Send every DICOM file below `folder`; whether all of them were answered Success."""
    console = Console(stderr=True)
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("sending", total=None)
        report = send_folder(
            folder,
            host,
            port,
            called,
            calling,
            lambda done, total: progress.update(task, completed=done, total=total),
            security=security,
        )
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        print(report.summary())
    return report.complete
