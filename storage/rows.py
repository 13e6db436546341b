"""Rows of the tables as the rest of the node sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from storage.states import DeliveryState, Outcome, SeriesState


@dataclass(frozen=True)
class SeriesRow:
    """A series as it stood when it was read.

    `reason_code` says why it was refused or has failed; a retry brings back that of the refusal, if any.
    """

    id: int
    series_instance_uid: str
    study_instance_uid: str
    state: SeriesState
    revision: int
    instance_count: int
    announced_instances: int | None
    conflicting: bool
    urgent: bool
    sender_ae_title: str
    sender_address: str | None
    first_received_at: datetime
    last_received_at: datetime
    attempts: int
    crashes: int
    not_before: datetime | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    failed_from: SeriesState | None
    outcome: Outcome | None
    reason_code: str | None
    reason_detail: str | None
    refusal_code: str | None
    refusal_detail: str | None
    findings_path: str | None
    weights_sha256: str | None
    lesion_count: int | None
    concluded_at: datetime | None
    last_error: str | None


@dataclass(frozen=True)
class InstanceRow:
    """A received instance; `path` is below the spool; `conflict`: other bytes came first under its UID."""

    id: int
    series_id: int
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    sha256: str
    size: int
    conflict: bool
    revision: int
    calling_ae_title: str
    address: str | None
    received_at: datetime


def series_row(row: Row[Any]) -> SeriesRow:
    """The dataclass of one row of the table."""
    return SeriesRow(**row._asdict())


@dataclass(frozen=True)
class ResultObject:
    """An encoded DICOM object of the results; `path` is relative to the folder of results."""

    role: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class DeliveryRow:
    """The results of one revision of a series on their way to one destination; the UIDs are the source's.

    `objects` are those of the revision's results whose role is in `roles`; all of them where that is None.
    """

    id: int
    series_id: int
    series_instance_uid: str
    study_instance_uid: str
    revision: int
    destination: str
    state: DeliveryState
    attempts: int
    not_before: datetime | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    roles: list[str] | None
    statuses: list[dict[str, Any]] | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None
    objects: tuple[ResultObject, ...]
