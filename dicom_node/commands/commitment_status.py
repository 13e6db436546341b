"""What `dicom-node status` says of storage commitment: what is waited for, and what is still to be told."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from dicom_node.commands.times import shown_time
from storage.commitment_requests import RequestOverview, request_overview
from storage.database import Database
from storage.outbox import DeliveryRow


def describe_delivery(row: DeliveryRow) -> str:
    """One delivery that waits for commitment, in words."""
    times = "once" if row.asked == 1 else f"{row.asked} times"
    asked = f", asked {times}" if row.asked else ""
    transaction = f" (transaction {row.transaction_uid})" if row.transaction_uid else ""
    when = f", asked again {shown_time(row.not_before)}" if row.not_before else ""
    return f"to {row.destination}: stored, commitment is waited for{asked}{transaction}{when}"


def describe_requests(db: Database) -> Iterator[str]:
    """Requests that are still to be reported on, or could not be."""
    for one in request_overview(db):
        yield f"commitment for {one.calling_ae_title}: {_counts(one)}"
        if one.last_error:
            yield f"    last error: {one.last_error}"


def collect_requests(db: Database) -> list[dict[str, Any]]:
    """The same for a program."""
    return [asdict(one) for one in request_overview(db)]


def _counts(one: RequestOverview) -> str:
    since = f" (since {shown_time(one.oldest_since)})" if one.oldest_since else ""
    return f"{one.waiting} to be reported{since}, {one.failed} could not be"
