"""`dicom-node status`: what is waiting, running, done, refused and failed."""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from dicom_node.clock import system_clock
from dicom_node.commands.attention import attention
from dicom_node.commands.audit_status import collect_audit_messages, describe_audit_messages
from dicom_node.commands.certificates import collect_certificates, describe_certificates
from dicom_node.commands.commitment_status import collect_requests, describe_delivery, describe_requests
from dicom_node.commands.node_database import open_node_database
from dicom_node.commands.node_state import NodeState, see_node
from dicom_node.commands.times import shown_time
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.printable import printable
from dicom_node.reasons import REASONS, Reason
from dicom_node.settings import Settings
from storage.audit import entries
from storage.database import Database
from storage.outbox import newest_deliveries
from storage.overview import DestinationOverview, Overview
from storage.series import SeriesRow, list_series
from storage.states import ENDED_WELL_STATES, DeliveryState, SeriesState

DOING = {
    SeriesState.COMPLETE: "inspecting",
    SeriesState.QUEUED: "analysing",
    SeriesState.ANALYSED: "encoding",
    SeriesState.REFUSED: "encoding",
}
STYLES = {SeriesState.DONE: "green", SeriesState.NOT_ANALYSED: "yellow", SeriesState.FAILED: "red"}
INDENT = " " * 4
STATE_WIDTH = 24  # "analysing 999/999 patches"


def print_status(settings: Settings, *, limit: int, state: str | None, as_json: bool) -> list[str]:
    """What needs attention, whether the node runs, counts of states, deliveries, and the newest series.

    Returns the sentences that tell of what needs attention.
    """
    states = None if state is None else (_state(state),)
    folders = Folders(settings.storage.folder)
    db = open_node_database(settings)
    seen = see_node(db, settings, system_clock())
    needed = attention(seen)
    if as_json:
        status = {
            "attention": needed,
            **_as_tables(seen),
            "commitment_requests": collect_requests(db),
            "audit_messages": collect_audit_messages(db, settings),
            **collect_series(db, folders, limit=limit, states=states),
        }
        print(json.dumps(status, default=str, indent=2))
        return needed
    console = Console(soft_wrap=True, markup=False, highlight=False)
    for sentence in needed:
        console.print(Text(printable(f"attention: {sentence}"), style="red"))
    console.print(_running(seen.process, settings))
    for certificate in describe_certificates(seen.certificates):
        console.print(certificate)
    _print_overview(console, seen.overview)
    for line in describe_requests(db):
        console.print(printable(line))
    for messages in describe_audit_messages(db, settings):
        console.print(messages)
    for row in list_series(db, states=states, limit=limit):
        _print_series(console, db, row, _progress(folders))
    return needed


def collect_series(
    db: Database, folders: Folders, *, limit: int, states: Collection[SeriesState] | None = None
) -> dict[str, Any]:
    """The newest series with what is being done to each, and progress in patches (or null)."""
    progress = _progress(folders)
    rows = [
        {**_as_dict(row, progress), "given_up": _given_up(db, row), "report_given_up": _report_given_up(db, row)}
        for row in list_series(db, states=states, limit=limit)
    ]
    return {"series": rows, "progress": progress}


def _as_tables(seen: NodeState) -> dict[str, Any]:
    """For a program: the running node's process id (or null) and ports that do not answer, disk, overview, and more."""
    return {
        "process": seen.process,
        "unanswered": seen.unanswered,
        "deaths_in_the_last_hour": seen.deaths,
        "orphaned": seen.orphaned,
        "disk": {**asdict(seen.disk), "accepting": seen.disk.accepting},
        "overview": asdict(seen.overview),
        "certificates": collect_certificates(seen.certificates),
    }


def _state(text: str) -> SeriesState:
    known = {state.lower().replace("_", "-"): state for state in SeriesState}
    name = text.lower().replace("_", "-").replace(" ", "-")
    if name not in known:
        raise NodeError(f"{text!r} is no state", where="--state", advice=f"one of {', '.join(known)}")
    return known[name]


def _progress(folders: Folders) -> dict[str, Any] | None:
    try:
        return dict(json.loads(folders.progress.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _as_dict(row: SeriesRow, progress: dict[str, Any] | None) -> dict[str, Any]:
    fields = asdict(row)
    fields["doing"] = _doing(row, progress)
    return fields


def _running(process: int | None, settings: Settings) -> Text:
    if process is None:
        return Text("node: not running; what waits goes on at the next start", style="yellow")
    receiver = settings.receiver
    ports = [f"{receiver.host}:{receiver.port}"] if receiver.accept_plain else []
    ports += [f"{receiver.host}:{receiver.tls_port} over TLS"] if receiver.tls_port else []
    where = f"{settings.node.ae_title} at {' and '.join(ports)}"
    return Text(f"node: running (process {process}), {where}")


def _print_overview(console: Console, seen: Overview) -> None:
    counts = ", ".join(f"{count} {_words(state)}" for state, count in seen.series.items() if count)
    console.print(f"series: {counts or 'none yet'}")
    for one in seen.destinations:
        console.print(printable(f"to {one.destination}: {_counts(one)}"))
        if one.last_error:
            console.print(printable(f"{INDENT}last error: {one.last_error}"))


def _counts(one: DestinationOverview) -> str:
    since = f" (since {shown_time(one.oldest_pending_since)})" if one.oldest_pending_since else ""
    stored = f" {one.stored} waiting for commitment," if one.stored else ""
    # given up, of a series that came again, or adopted by `doctor`
    withdrawn = f", {one.withdrawn} withdrawn" if one.withdrawn else ""
    return f"{one.pending} pending{since},{stored} {one.delivered} delivered, {one.failed} failed{withdrawn}"


def _print_series(console: Console, db: Database, row: SeriesRow, progress: dict[str, Any] | None) -> None:
    """Lines of any length: a UID that a table has cut cannot be given to `audit show` or `retry`."""
    console.print()
    doing = f"{_doing(row, progress):<{STATE_WIDTH}}"
    console.print(
        Text.assemble(f"{shown_time(row.last_received_at)}  ", (doing, STYLES.get(row.state, ""))), end=""
    )
    console.print(printable(f"  {_outcome(row)}".rstrip()))
    console.print(printable(f"{INDENT}{row.series_instance_uid}"))
    again = f", revision {row.revision}" if row.revision > 1 else ""
    purged = f", images deleted {shown_time(row.source_purged_at)}" if row.source_purged_at else ""
    sender = printable(row.sender_ae_title or "?")
    console.print(f"{INDENT}{row.instance_count} instances from {sender}{again}{purged}")
    for line in _waits(db, row):
        console.print(printable(INDENT + line))
    if names := _given_up(db, row):
        nobody = "" if any(one.taken for one in newest_deliveries(db, row)) else "; nobody has its results"
        console.print(printable(f"{INDENT}given up for {', '.join(names)}{nobody}"))
    if _report_given_up(db, row):
        console.print(f"{INDENT}its report was given up; nobody was told")


def _waits(db: Database, row: SeriesRow) -> Iterator[str]:
    """What is tried again, and when."""
    if row.not_before is not None and row.not_before > datetime.now(UTC):
        yield f"next try {shown_time(row.not_before)}: {row.last_error}"
    if row.state != SeriesState.DELIVERING:
        return
    for one in newest_deliveries(db, row):
        if one.state == DeliveryState.STORED:
            yield describe_delivery(one)
            if one.last_error:
                yield f"last error: {one.last_error}"
        if one.state == DeliveryState.PENDING and one.last_error:
            when = f", next {shown_time(one.not_before)}" if one.not_before else ""
            counted = {0: "the last try did not count", 1: "1 try failed"}
            tries = counted.get(one.attempts, f"{one.attempts} tries failed")
            yield f"to {one.destination}: {tries}{when}"


def _given_up(db: Database, row: SeriesRow) -> list[str]:
    """Destinations that do not get the results of a series that has ended, because somebody gave up on them."""
    if row.state not in ENDED_WELL_STATES:
        return []
    return [one.destination for one in newest_deliveries(db, row) if one.state == DeliveryState.WITHDRAWN]


def _report_given_up(db: Database, row: SeriesRow) -> bool:
    """Whether nobody was told that the series is not analysed, because the report could not be made."""
    if row.state != SeriesState.NOT_ANALYSED:
        return False
    abandoned = entries(db, row.series_instance_uid, "series-abandoned")
    here = [one.detail for one in abandoned if one.detail.get("revision") == row.revision]
    return any(one["from"] == SeriesState.REFUSED for one in here)


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
    return "" if row.not_before is not None else row.last_error or ""
