"""`dicom-node audit`: list, show, verify and export what happened."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.audit import AuditEntry, entries, verify
from storage.audit_export import write_csv, write_json_lines

INDENT = " " * 8


def list_entries(
    settings: Settings, series: str | None, event: str | None, limit: int, *, as_json: bool
) -> None:
    """The newest `limit` rows, oldest first."""
    _print(entries(open_node_database(settings), series, event, limit=limit), as_json=as_json)


def show_series(settings: Settings, series_instance_uid: str, *, as_json: bool) -> None:
    """Every row of one series."""
    rows = list(entries(open_node_database(settings), series_instance_uid))
    if not rows:
        raise NodeError(
            f"no audit row names series {series_instance_uid}",
            where=str(Folders(settings.storage.folder).database),
            advice="`dicom-node status` lists the series",
        )
    _print(rows, as_json=as_json)


def verify_chain(settings: Settings, *, as_json: bool) -> bool:
    """Recompute every hash; whether the chain is intact."""
    result = verify(open_node_database(settings))
    if as_json:
        print(json.dumps(asdict(result)))
    elif result.ok:
        print(f"intact: {result.rows} rows, each chained to the one before")
        print(f"hash of the last row, to be kept elsewhere: {result.last_hash}")
    else:
        print(f"BROKEN at row {result.first_bad}: {result.problem}")
        print("keep a copy of the storage folder as it is; the rows before it are intact")
    return result.ok


def export_entries(settings: Settings, output: Path, since: str | None, until: str | None) -> None:
    """Write the rows of a period to `output`, as its suffix says."""
    writers = {".jsonl": write_json_lines, ".csv": write_csv}
    if output.suffix not in writers:
        raise NodeError(
            "the file name tells no format", where=str(output), advice="name a .jsonl or .csv file"
        )
    begin, end = _moment(since, "--since"), _moment(until, "--until")
    rows = entries(open_node_database(settings), since=begin, until=end)
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            count = writers[output.suffix](rows, file)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise NodeError(what, where=str(output), advice="name a file in a folder of yours") from error
    print(f"{count} rows written to {output}")


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NodeError(
            f"{text!r} is no date or time", where=option, advice="such as 2026-01-31 or 2026-01-31T12:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print(rows: Iterable[AuditEntry], *, as_json: bool) -> None:
    """Lines of any length: a UID or a hash that a table has cut proves nothing."""
    for row in rows:
        if as_json:
            print(json.dumps(asdict(row), default=str))
            continue
        print(f"{row.number:>6}  {row.at:%Y-%m-%d %H:%M:%S} UTC  {row.event}, by {_words(row.actor)}")
        if row.series_instance_uid:
            print(f"{INDENT}series {row.series_instance_uid}")
        if row.detail:
            print(f"{INDENT}{_detail(row.detail)}")


def _detail(detail: dict[str, Any]) -> str:
    return "; ".join(f"{key}: {_words(value)}" for key, value in detail.items())


def _words(value: object) -> str:
    if isinstance(value, list):
        return " | ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return " ".join(map(_words, value.values()))
    shown = (
        isinstance(value, str) and value.isprintable()
    )  # a peer may put control characters into its AE title
    return str(value) if shown else json.dumps(value)
