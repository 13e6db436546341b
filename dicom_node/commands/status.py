"""`dicom-node status`: what is waiting, running, done, refused and failed."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from dicom_node.folders import Folders
from dicom_node.reasons import REASONS, Reason
from dicom_node.settings import Settings
from storage.database import Database, open_database
from storage.overview import Overview, overview
from storage.series import SeriesRow, list_series
from storage.states import SeriesState

DOING = {
    SeriesState.COMPLETE: "inspecting",
    SeriesState.QUEUED: "analysing",
    SeriesState.ANALYSED: "encoding",
    SeriesState.REFUSED: "encoding",
}


def print_status(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Counts for each state, deliveries for each destination, and the newest series."""
    folders = Folders(settings.storage.folder)
    db = open_database(folders.database)
    if as_json:
        print(json.dumps(collect_status(db, folders, limit=limit), default=str, indent=2))
        return
    console = Console()
    _print_overview(console, overview(db))
    _print_series(console, list_series(db, limit=limit), _progress(folders))


def collect_status(db: Database, folders: Folders, *, limit: int) -> dict[str, Any]:
    """What `--json` prints: overview, the newest series with what is being done to each, progress in patches."""
    progress = _progress(folders)
    rows = [_as_dict(row, progress) for row in list_series(db, limit=limit)]
    return {"overview": asdict(overview(db)), "series": rows, "progress": progress}


def _progress(folders: Folders) -> dict[str, Any] | None:
    try:
        return dict(json.loads(folders.progress.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _as_dict(row: SeriesRow, progress: dict[str, Any] | None) -> dict[str, Any]:
    fields = asdict(row)
    fields["doing"] = _doing(row, progress)
    return fields


def _print_overview(console: Console, seen: Overview) -> None:
    counts = ", ".join(f"{count} {_words(state)}" for state, count in seen.series.items() if count)
    console.print(f"series: {counts or 'none yet'}")
    for one in seen.destinations:
        console.print(
            f"to {one.destination}: {one.pending} pending, {one.delivered} delivered, {one.failed} failed"
        )
        if one.last_error:
            console.print(f"  last error: {one.last_error}", highlight=False, soft_wrap=True)


def _print_series(console: Console, series: list[SeriesRow], progress: dict[str, Any] | None) -> None:
    table = Table(
        "last received (UTC)", "series", "instances", "from", "state", "result or reason", expand=True
    )
    for row in series:
        table.add_row(
            f"{row.last_received_at:%Y-%m-%d %H:%M:%S}",
            row.series_instance_uid,
            str(row.instance_count),
            row.sender_ae_title or "",
            _doing(row, progress),
            _outcome(row),
        )
    if series:
        console.print(table)


def _doing(row: SeriesRow, progress: dict[str, Any] | None) -> str:
    leased = row.lease_expires_at is not None and row.lease_expires_at > datetime.now(UTC)
    text = DOING.get(row.state, _words(row.state)) if leased else _words(row.state)
    if leased and progress and progress.get("series") == row.series_instance_uid:
        text += f" {progress['patches']}/{progress['of']} patches"
    return text + (" (urgent)" if row.urgent else "")


def _words(state: str) -> str:
    return state.lower().replace("_", " ")


def _outcome(row: SeriesRow) -> str:
    if row.reason_code is not None:
        known = REASONS.get(Reason(row.reason_code)) if row.reason_code in set(Reason) else None
        return f"{row.reason_code}: {row.reason_detail or (known.text if known else '')}"
    if row.lesion_count is not None:
        return "1 candidate" if row.lesion_count == 1 else f"{row.lesion_count} candidates"
    return row.last_error or ""
