"""`dicom-node audit list` and `show`: what happened."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from dicom_node.commands.node_database import open_node_database
from dicom_node.commands.times import shown_time
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.audit import AuditEntry, entries

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


def _print(rows: Iterable[AuditEntry], *, as_json: bool) -> None:
    """Lines of any length: a UID or a hash that a table has cut proves nothing."""
    for row in rows:
        if as_json:
            print(json.dumps(asdict(row), default=str))
            continue
        print(f"{row.number:>6}  {shown_time(row.at)}  {row.event}, by {_words(row.actor)}")
        if row.series_instance_uid:
            print(f"{INDENT}series {row.series_instance_uid}")
        if row.detail:
            print(f"{INDENT}{_detail(row.detail)}")


def _detail(detail: dict[str, Any]) -> str:
    return "; ".join(f"{key}: {_words(value)}" for key, value in detail.items())


def _words(value: object) -> str:
    """A mapping with its keys, as of destinations; those of a list, as of statuses, in short: their values."""
    if isinstance(value, list):
        return " | ".join(map(_in_short, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} ({_words(one)})" for key, one in value.items()) or "none"
    return _printed(value)


def _in_short(value: object) -> str:
    return " ".join(map(_words, value.values())) if isinstance(value, dict) else _words(value)


def _printed(value: object) -> str:
    shown = (
        isinstance(value, str) and value.isprintable()
    )  # a peer may put control characters into its AE title
    return str(value) if shown else json.dumps(value)
