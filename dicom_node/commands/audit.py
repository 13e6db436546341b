"""`dicom-node audit`: list, show, verify and export what happened."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.audit import AuditEntry, entries, verify
from storage.audit_export import write_csv, write_json_lines
from storage.database import Database, open_database


def list_entries(
    settings: Settings, series: str | None, event: str | None, limit: int, *, as_json: bool
) -> None:
    """The newest `limit` rows, oldest first."""
    rows = list(entries(_open(settings), series_instance_uid=series, event=event))[-limit:]
    _print(rows, as_json=as_json)


def show_series(settings: Settings, series_instance_uid: str, *, as_json: bool) -> None:
    """Every row of one series."""
    rows = list(entries(_open(settings), series_instance_uid=series_instance_uid))
    if not rows:
        raise NodeError(
            f"no audit row names series {series_instance_uid}",
            where=str(Folders(settings.storage.folder).database),
            advice="`dicom-node status` lists the series",
        )
    _print(rows, as_json=as_json)


def verify_chain(settings: Settings, *, as_json: bool) -> bool:
    """Recompute every hash; whether the chain is intact."""
    result = verify(_open(settings))
    if as_json:
        print(json.dumps(asdict(result)))
    elif result.ok:
        print(f"intact: {result.rows} rows, each chained to the one before")
    else:
        print(f"BROKEN at row {result.first_bad}: {result.problem}")
    return result.ok


def export_entries(settings: Settings, output: Path, since: str | None, until: str | None) -> None:
    """Write the rows of a period to `output`, as its suffix says."""
    writers = {".jsonl": write_json_lines, ".csv": write_csv}
    if output.suffix not in writers:
        raise NodeError(
            f"{output.suffix or 'no'} suffix", where=str(output), advice="name a .jsonl or .csv file"
        )
    rows = entries(_open(settings), since=_moment(since, "--since"), until=_moment(until, "--until"))
    with output.open("w", encoding="utf-8", newline="") as file:
        count = writers[output.suffix](rows, file)
    print(f"{count} rows written to {output}")


def _open(settings: Settings) -> Database:
    return open_database(Folders(settings.storage.folder).database)


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(
            f"{text!r} is no date or time", where=option, advice="such as 2026-01-31T12:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print(rows: list[AuditEntry], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row), default=str))
        return
    table = Table("row", "time (UTC)", "event", "series", "who", "detail")
    for row in rows:
        table.add_row(
            str(row.number),
            f"{row.at:%Y-%m-%d %H:%M:%S}",
            row.event,
            row.series_instance_uid or "",
            row.actor,
            _detail(row.detail),
        )
    Console().print(table)


def _detail(detail: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in detail.items())
