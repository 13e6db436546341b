"""The audit messages that wait for their repository, as `dicom-node status` shows them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.text import Text

from dicom_node.atna.cursor import find_position, read_marks
from dicom_node.atna.events import TELLERS
from dicom_node.commands.times import shown_time
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.audit import PAGE_ROWS, entries_after
from storage.database import Database


def collect_audit_messages(db: Database, settings: Settings) -> dict[str, Any] | None:
    """For `status --json`: how many rows wait to be sent, and since when; null where none are sent."""
    if not settings.atna.enabled:
        return None
    marks = read_marks(Folders(settings.storage.folder).atna_cursor)
    after = find_position(db, marks).after.number
    waiting: list[datetime] = []
    while page := entries_after(db, after, PAGE_ROWS):
        waiting.extend(entry.at for entry in page if entry.event in TELLERS)
        after = page[-1].number
    return {"waiting": len(waiting), "oldest_waiting_since": waiting[0] if waiting else None}


def describe_audit_messages(db: Database, settings: Settings) -> Iterator[Text]:
    """A line, where messages are sent."""
    seen = collect_audit_messages(db, settings)
    if seen is None:
        return
    where = f"{settings.atna.host}:{settings.atna.port}"
    if not seen["waiting"]:
        yield Text(f"audit messages to {where}: none waits")
        return
    since = shown_time(seen["oldest_waiting_since"])
    yield Text(f"audit messages to {where}: rows waiting: {seen['waiting']}, since {since}", style="yellow")
